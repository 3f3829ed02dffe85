package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"testing"

	"maxrelay/api/anthropic"
	"maxrelay/api/failure"
	"maxrelay/api/openai"
	"maxrelay/session/chat"
)

func TestEveryCodeHasItsStatusInEveryAPI(t *testing.T) {
	codes := chatCodes(t)
	if len(codes) < 10 {
		t.Fatalf("found %d codes only", len(codes))
	}
	for _, code := range codes {
		err := &chat.Error{Code: code, Message: "m"}
		for api, f := range map[string]failure.Failure{"openai": openai.FailureOf(err), "anthropic": anthropic.FailureOf(err, "req_1")} {
			if (f.Status == http.StatusInternalServerError) != (code == chat.CodeInternal) {
				t.Errorf("%s: %s has status %d", api, code, f.Status)
			}
		}
	}
}

// chatCodes reads the constants of type Code from the source of package chat.
func chatCodes(t *testing.T) (codes []chat.Code) {
	file, err := parser.ParseFile(token.NewFileSet(), "../session/chat/error.go", nil, 0)
	must(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			must(t, err)
			codes = append(codes, chat.Code(code))
		}
		return true
	})
	return codes
}
