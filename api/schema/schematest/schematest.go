// Package schematest holds JSON to JSON Schemas, for tests.
package schematest

import (
	"bytes"
	"io/fs"
	"path"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const base = "https://maxrelay.test/"

// Set is some schemas that may refer to one another.
type Set struct {
	mu       sync.Mutex // the compiler is not for several tests at once
	compiler *jsonschema.Compiler
}

// New returns the schemas in the folder schema. One that is none is a mistake of the
// program's.
func New(files fs.FS) *Set {
	s := &Set{compiler: jsonschema.NewCompiler()}
	names, _ := fs.Glob(files, "schema/*.json")
	for _, name := range names {
		f, err := files.Open(name)
		if err != nil {
			panic(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			panic(name + ": " + err.Error())
		}
		if err := s.compiler.AddResource(base+path.Base(name), doc); err != nil {
			panic(err)
		}
	}
	return s
}

// Check tells why data is not JSON of the schema in the file kind.json.
func (s *Set) Check(kind string, data []byte) error {
	s.mu.Lock()
	schema, err := s.compiler.Compile(base + kind + ".json")
	s.mu.Unlock()
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
