package stats

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"strconv"
	"testing"
)

func TestEveryErrorCodeIsExplained(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../session/chat/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Code" {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if codes++; Explain(code) == Explain("a code of another version") {
			t.Errorf("%s has no words", code)
		}
		return true
	})
	if codes < 20 {
		t.Errorf("only %d codes were found", codes)
	}
	if got := Explain(""); got != "" {
		t.Errorf("no error is explained as %q", got)
	}
}
