package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"maxrelay/api/field"
	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

// maxSubschemas bounds what compiling a schema costs, which grows with the square of
// their number.
const maxSubschemas = 2000

// checkSchema refuses what is no JSON Schema. A strict one may not use the keywords
// that OpenAI's strict mode has not either.
func checkSchema(v field.Value, strict bool) error {
	if err := schema.Check(v); err != nil {
		return err
	}
	if subschemas(v) > maxSubschemas {
		return chat.Invalid(v.At, "must not hold more than %d schemas", maxSubschemas)
	}
	_, err := compile(v.Raw, &work{left: maxWork, lenient: !strict})
	switch {
	case errors.Is(err, errUnsupported):
		return chat.Invalid(v.At, "must not use not, oneOf or if together with strict: use anyOf")
	case errors.Is(err, errWork):
		return chat.Invalid(v.At, "is too large to be checked")
	case err != nil:
		return chat.Invalid(v.At, "must be a JSON Schema (draft 2020-12, or the one its $schema names) that refers to nothing outside it")
	}
	return nil
}

// subschemas counts the values that may be schemas.
func subschemas(v field.Value) int {
	n := 0
	switch {
	case v.Is('{'):
		n++
		for _, member := range v.Pairs() {
			n += subschemas(member)
		}
	case v.Is('['):
		for _, element := range v.Elements() {
			n += subschemas(element)
		}
	case v.Is('t'), v.Is('f'):
		n++
	}
	return n
}

// validate holds an answer to the schema. Its errors do not repeat the answer.
func (f Format) validate(text string) error {
	var answer any
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return invalidOutput("the model did not answer with JSON: send the request again")
	}
	w := &work{left: maxWork}
	schema, err := compile(f.Schema, w)
	if err != nil {
		return fmt.Errorf("compile a schema that was checked before: %T", err)
	}
	switch err := w.bound(func() error { return schema.Validate(answer) }); {
	case errors.Is(err, errWork):
		return invalidOutput("the model's answer is too large to be checked against the schema")
	case err != nil:
		return invalidOutput("the model's answer does not follow the schema: send the request again")
	}
	return nil
}

// location names the schema where one must have a name. It has a path, so that a relative
// reference leads away from it too.
const location = "https://response-format.invalid/schema"

func compile(raw json.RawMessage, w *work) (schema *jsonschema.Schema, err error) {
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil { // numbers beyond float64 are refused here, before big arithmetic
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(w.pattern)
	c.AssertVocabs()
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: location + "/work", Compile: w.meter})
	if err := c.AddResource(location, doc); err != nil {
		return nil, err
	}
	err = w.bound(func() error {
		schema, err = c.Compile(location)
		return err
	})
	return schema, err
}

// noLoader refuses what a schema refers to outside itself: the default reads files.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("outside references are not followed")
}

// work bounds a validation. Schemas come from callers, and a few lines of one make a
// validator visit a value more often than there are atoms: each level of an answer can
// double the visits. So every visit of a schema is counted, and so is every step of a
// pattern.
type work struct {
	left    int
	lenient bool // the schema is told to the model, and no answer is held to it
}

// maxWork is some tenths of a second, and many times what a long answer takes.
const maxWork = 3_000_000

var (
	errWork        = errors.New("too much work")
	errUnsupported = errors.New("unsupported keyword")
)

// bound runs f until it is done or the work is used up. The validator cannot be
// stopped but by a panic.
func (w *work) bound(f func() error) (err error) {
	defer func() {
		if r := recover(); r == errWork {
			err = errWork
		} else if r != nil {
			panic(r)
		}
	}()
	return f()
}

func (w *work) spend(n int) {
	if w.left -= n; w.left < 0 {
		panic(errWork)
	}
}

// uncounted are the keywords under which the validator takes short cuts that pass the
// meter by.
var uncounted = []string{"not", "oneOf", "if"}

// meter is compiled into every schema object.
func (w *work) meter(_ *jsonschema.CompilerContext, schema map[string]any) (jsonschema.SchemaExt, error) {
	if w.lenient {
		return nil, nil
	}
	for _, keyword := range uncounted {
		if _, ok := schema[keyword]; ok {
			return nil, errUnsupported
		}
	}
	branches := 1
	for _, list := range []string{"allOf", "anyOf", "enum", "required"} {
		branches += length(schema[list])
	}
	return meter{w, branches}, nil
}

type meter struct {
	work     *work
	branches int
}

// Validate counts the visit of v. Each failure in it costs a copy of its place.
func (m meter) Validate(ctx *jsonschema.ValidatorContext, v any) {
	m.work.spend((1 + len(ctx.ValueLocation())) * (m.branches + length(v)))
}

func length(v any) int {
	switch v := v.(type) {
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	case string:
		return len(v) / 64 // its characters are counted
	}
	return 0
}

// stepWork is what a step of a pattern costs when it is compiled: a{1000} is seven
// bytes and a thousand steps of some hundred bytes each.
const stepWork = 100

// pattern compiles a pattern. Go's run in linear time, but have no look-ahead; a
// lenient schema may, and none of its patterns is ever run.
func (w *work) pattern(s string) (jsonschema.Regexp, error) {
	if w.lenient {
		return regexp.MustCompile(""), nil
	}
	w.spend(stepWork * len(s))
	parsed, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, err
	}
	w.spend(stepWork * steps(parsed))
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	return pattern{re, w, len(program.Inst)}, nil
}

// steps is how many steps a pattern has when its repetitions are written out.
func steps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

type pattern struct {
	*regexp.Regexp
	work *work
	size int
}

func (p pattern) MatchString(s string) bool {
	p.work.spend(p.size * (1 + len(s)) / 16)
	return p.Regexp.MatchString(s)
}
