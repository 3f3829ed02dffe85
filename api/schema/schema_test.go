package schema

import (
	"encoding/json"
	"maxrelay/api/field"
	"testing"
)

// What Claude Code 2.1.330 leaves out without a word is refused, and no more.
func TestLawfulSchemas(t *testing.T) {
	for _, good := range []string{
		`{}`, `true`, `{"enum":[]}`, `{"enum":[1,1]}`, `{"required":[]}`, `{"$ref":"#/$defs/x"}`, `{"$ref":"https://x/y"}`, `{"anyOf":[{},{"type":"null"}]}`,
		`{"nullable":true,"x-a":{}}`, `{"format":"zap"}`, `{"patternProperties":{"^a b":{}}}`, `{"type":["null","string"]}`, `{"items":false}`,
		`{"const":{"type":"text"}}`, `{"properties":{"type":{},"required":{"type":"string"}}}`, `{"minLength":2.0,"multipleOf":0.1,"minimum":-1e3}`,
	} {
		if err := lawful(schemaIn(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		`null`, `[]`, `{"type":"text"}`, `{"type":1}`, `{"type":[]}`, `{"type":["null","null"]}`, `{"items":7}`, `{"items":[{}]}`, `{"minimum":"x"}`,
		`{"minimum":1,"exclusiveMinimum":true}`, `{"enum":"x"}`, `{"required":true}`, `{"required":["a","a"]}`, `{"required":[1]}`, `{"anyOf":[]}`,
		`{"anyOf":{}}`, `{"allOf":[1]}`, `{"description":1}`, `{"definitions":1}`, `{"$defs":{"a":1}}`, `{"properties":{"a":null}}`, `{"title":1}`,
		`{"minLength":-1}`, `{"minLength":1.5}`, `{"$id":1}`, `{"uniqueItems":1}`, `{"multipleOf":0}`, `{"additionalProperties":"no"}`,
	} {
		if err := lawful(schemaIn(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if err := lawful(field.Value{Raw: []byte(`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"a":{"minimum":1,"exclusiveMinimum":true}}}`)}); err != nil {
		t.Errorf("an older draft's: %v", err)
	}
}

// schemaIn puts a schema where all of them are held to the vocabulary.
func schemaIn(schema string) field.Value {
	return field.Value{Raw: []byte(`{"type":"object","properties":{"SECRET":{"items":` + schema + `}}}`)}
}

func TestUnwrappedArguments(t *testing.T) {
	for in, want := range map[string]string{
		`{"value":{"a":1}}`: `{"a":1}`, ` { "value" : [1 , 2] } `: `[1 , 2]`, `{"v\u0061lue":null}`: `null`,
		`{"a":1}`: `{"a":1}`, `{"value":1,"b":2}`: `{"value":1,"b":2}`, `{"value":{"a":`: `{"value":{"a":`, `[1]`: `[1]`, ``: ``,
	} {
		if got := string(UnwrapArguments([]byte(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzArgumentSchema(f *testing.F) {
	for _, schema := range []string{`{}`, `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#"}}}`, `{"properties":{"a":true}}`, `{"type":["object"],"anyOf":[{"\u0024ref":"#"}]}`} {
		f.Add(schema)
	}
	f.Fuzz(func(t *testing.T, schema string) {
		v, err := field.Parse([]byte(schema))
		if err != nil {
			return
		}
		out, _, err := Arguments(v)
		if err != nil {
			return
		}
		var top map[string]any // and no struct: that would take other spellings of a name
		if err := json.Unmarshal(out, &top); err != nil || top["type"] != "object" {
			t.Fatalf("%s became %s: %v", schema, out, err)
		}
	})
}
