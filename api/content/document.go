package content

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

const (
	pdf       = "application/pdf"
	pdfMagic  = "%PDF-"
	plainText = "text/plain"
	maxTitle  = 500 // characters
)

// File makes a document of a file. Its bytes tell what it is; a label only has to agree.
func File(at string, data Data) (chat.Block, error) {
	encoded, err := canonical64(at, data.Base64)
	if err != nil {
		return chat.Block{}, err
	}
	if isPDF(encoded) {
		return pdfBlock(encoded), nil
	}
	if data.MediaType == pdf {
		return chat.Block{}, chat.Invalid(at, "is not a PDF: it does not begin with %s", pdfMagic)
	}
	content, _ := base64.StdEncoding.DecodeString(encoded) // it is canonical
	if !isText(content) {
		return chat.Block{}, chat.Invalid(at, "must be a PDF or UTF-8 text")
	}
	return textDocument(at, string(content))
}

func pdfBlock(encoded string) chat.Block {
	return chat.Block{Type: chat.BlockDocument, Source: &chat.Source{Type: "base64", MediaType: pdf, Data: encoded}}
}

func isPDF(encoded string) bool {
	head, _ := base64.StdEncoding.DecodeString(encoded[:min(len(encoded), 8)])
	return strings.HasPrefix(string(head), pdfMagic)
}

func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

func textDocument(at, text string) (chat.Block, error) {
	if chat.Blank(text) {
		return chat.Block{}, chat.Invalid(at, "must hold some text")
	}
	return chat.Block{Type: chat.BlockDocument, Source: &chat.Source{Type: "text", MediaType: plainText, Data: text}}, nil
}

// Document reads the Messages API's {"type":"document","source":…} with its title
// and context. Citations are not asked for.
func (r *Reader) Document(v field.Value) (chat.Block, error) {
	b, err := documentSource(v)
	if err != nil {
		return chat.Block{}, err
	}
	members, err := v.Members("title", "context")
	if err != nil {
		return chat.Block{}, err
	}
	if b.Title, err = Title(members, "title"); err != nil {
		return chat.Block{}, err
	}
	b.Context, err = context(members)
	return b, err
}

// context returns what the model is told of a document; a blank one is none.
func context(members map[string]field.Value) (string, error) {
	v, ok := members["context"]
	if !ok {
		return "", nil
	}
	text, err := v.Text()
	if err != nil || chat.Blank(text) {
		return "", err
	}
	return text, nil
}

func documentSource(v field.Value) (chat.Block, error) {
	src, kind, name, err := source(v)
	if err != nil {
		return chat.Block{}, err
	}
	switch name {
	case "url":
		return urlSource(src, chat.BlockDocument)
	case "base64", "text":
	default:
		return chat.Block{}, chat.Invalid(kind.At, "must be base64, url or text")
	}
	data, err := src.RequireText("data", "the document")
	if err != nil {
		return chat.Block{}, err
	}
	at := src.Member("data")
	if name == "text" {
		return textDocument(at, data)
	}
	return File(at, Data{MediaType: pdf, Base64: data})
}

// Title returns a document's title; a blank one is none.
func Title(members map[string]field.Value, name string) (string, error) {
	v, ok := members[name]
	if !ok {
		return "", nil
	}
	text, err := v.Text()
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(text) > maxTitle {
		return "", chat.Invalid(v.At, "must be at most %d characters long", maxTitle)
	}
	if chat.Blank(text) {
		return "", nil
	}
	return text, nil
}
