package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileReader walks a YAML document against the schema. It reads nodes, not values, since only they know their line.
type fileReader struct {
	path  string
	env   map[string]string
	found settings
}

func parseFile(path string, text []byte, env map[string]string) ([]setting, error) {
	document, err := parseYAML(path, text)
	if err != nil || document == nil {
		return nil, err
	}
	r := &fileReader{path: path, env: env}
	r.section(document, nil)
	return r.found.result()
}

// parseYAML returns the one document's root, or nil for a file without any.
func parseYAML(path string, text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, yamlError(path, err)
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, yamlError(path, err)
	}
	return nil, fmt.Errorf("%s:%d: the file holds a second document", path, second.Line)
}

var yamlErrorForm = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// yamlError puts the parser's words into the form of the other errors.
func yamlError(path string, err error) error {
	parts := yamlErrorForm.FindStringSubmatch(err.Error())
	switch {
	case parts == nil:
		return fmt.Errorf("%s: not YAML", path)
	case strings.Contains(parts[2], "anchor"):
		// The parser repeats the anchor's name, which is the value itself where a password began with a star.
		return fmt.Errorf("%s: a value that begins with * or & needs quotes", path)
	case parts[1] == "":
		return fmt.Errorf("%s: not YAML: %s", path, parts[2])
	}
	return fmt.Errorf("%s:%s: not YAML: %s", path, parts[1], parts[2])
}

// section reads the keys below path, which is empty for the whole file.
func (r *fileReader) section(node *yaml.Node, path []string) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.fail(r.at(node, path), "needs keys below it, not a value")
		return
	}
	firstLine := map[string]int{}
	for pair := range slices.Chunk(node.Content, 2) {
		name, value := pair[0], pair[1]
		path := append(slices.Clip(path), name.Value)
		at := r.at(name, path)
		line, twice := firstLine[name.Value]
		switch {
		case name.Kind != yaml.ScalarNode:
			r.fail(r.at(name, nil), "a key must be one word")
		case twice:
			r.fail(at, "given twice, first on line %d", line)
		default:
			firstLine[name.Value] = name.Line
			r.entry(value, path, at)
		}
	}
}

// entry reads what stands under one key: a section, a table, a list of sections, a value, or nothing we know.
func (r *fileReader) entry(node *yaml.Node, path []string, at origin) {
	for _, k := range configKeys {
		entry, ok := k.under(path)
		switch whole := len(path) == len(k.path); {
		case !ok:
			continue
		case whole && isNull(node) && k.path[len(path)-1] != entryMark: // left out; a table's entry is empty
		case whole:
			r.value(node, k, entry, at)
		case k.path[len(path)] == entryMark && k.isNumbered():
			r.sections(node, path, at)
		case k.path[len(path)-1] == entryMark && isNull(node):
			r.fail(at, "has no keys below it")
		default:
			r.section(node, path)
		}
		return
	}
	if strings.Contains(path[len(path)-1], ".") {
		r.fail(at, "unknown key (keys nest in the file, they are not joined with dots)")
		return
	}
	r.fail(at, "unknown key%s", didYouMean(strings.Join(path, "."), ".", configKey.name))
}

// sections reads a list of sections, each of which is an entry named by its number.
func (r *fileReader) sections(node *yaml.Node, path []string, at origin) {
	switch {
	case isNull(node):
		return
	case node.Kind != yaml.SequenceNode:
		r.fail(at, "needs a list of sections, each begun with -")
		return
	}
	for i, item := range node.Content {
		path := append(slices.Clip(path), strconv.Itoa(i+1))
		r.entry(item, path, r.at(item, path))
	}
}

func (r *fileReader) value(node *yaml.Node, k configKey, entry string, at origin) {
	at.hidden = k.isSecret()
	if k.isList() && node.Kind == yaml.SequenceNode {
		r.list(node, k, entry, at)
		return
	}
	text, ok := r.text(node, &at)
	if !ok {
		return
	}
	r.found.add(newSetting(k, entry, text, at))
}

func (r *fileReader) list(node *yaml.Node, k configKey, entry string, at origin) {
	var items []string
	for _, item := range node.Content {
		text, ok := r.text(item, &at)
		if !ok {
			return
		}
		items = append(items, text)
	}
	r.found.add(newListSetting(k, entry, items, at), nil)
}

// text returns a scalar as it was written, whatever type YAML would make of it, with its variables filled in.
func (r *fileReader) text(node *yaml.Node, at *origin) (string, bool) {
	switch node.Kind {
	case yaml.ScalarNode:
	case yaml.AliasNode:
		r.fail(*at, "aliases are not supported; quote a value that begins with *")
		return "", false
	default:
		r.fail(*at, "needs one value, not several")
		return "", false
	}
	if isNull(node) {
		return "", true
	}
	text, err := expand(node.Value, r.env)
	if err != nil {
		r.fail(*at, "%w", err)
		return "", false
	}
	if text != node.Value {
		at.hidden = true // what a variable holds is not ours to print
	}
	return text, true
}

var reference = regexp.MustCompile(`\$\$|\$\{[^}]*\}?`)

var variableName = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// expand fills in ${VAR}. It works on parsed values, so a variable's content is never read as YAML. $$ and $x stay.
func expand(text string, env map[string]string) (expanded string, err error) {
	expanded = reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$$" {
			return ref
		}
		name := variableName.FindStringSubmatch(ref)
		if name == nil {
			err = cmp.Or(err, errors.New("${ must be followed by a variable's name and }"))
			return ""
		}
		value, ok := env[name[1]]
		if !ok {
			err = cmp.Or(err, fmt.Errorf("${%s} is not set in the environment", name[1]))
		}
		return value
	})
	return expanded, err
}

func (r *fileReader) at(node *yaml.Node, path []string) origin {
	where := r.path + ":" + strconv.Itoa(node.Line)
	if len(path) > 0 {
		where += ": " + strings.Join(path, ".")
	}
	return origin{where: where}
}

func (r *fileReader) fail(at origin, format string, args ...any) {
	r.found.add(setting{}, at.errorf(format, args...))
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }
