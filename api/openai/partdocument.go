package openai

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"maxrelay/session/chat"
)

const (
	pdf       = "application/pdf"
	pdfMagic  = "%PDF-"
	plainText = "text/plain"
	maxTitle  = 500 // characters
)

// filePart reads OpenAI's {"type":"file","file":{"file_data","filename"}}: a PDF, or
// text of any kind.
func (r *reader) filePart(v value) (chat.Block, error) {
	file, err := v.require("file", "an object with file_data")
	if err != nil {
		return chat.Block{}, err
	}
	members, err := file.members("file_data", "file_id", "filename")
	if err != nil {
		return chat.Block{}, err
	}
	if id, ok := members["file_id"]; ok {
		return chat.Block{}, chat.Invalid(id.at, "is not supported, since no files are kept here: send the bytes as file_data")
	}
	content, ok := members["file_data"]
	if !ok {
		return chat.Block{}, chat.Invalid(file.member("file_data"), "is required: the file as a data: address or in base64")
	}
	text, err := content.text()
	if err != nil {
		return chat.Block{}, err
	}
	data := inline{base64: text}
	if isData(text) {
		if data, err = dataURL(content.at, text); err != nil {
			return chat.Block{}, err
		}
	}
	b, err := fileBlock(content.at, data)
	if err != nil {
		return chat.Block{}, err
	}
	b.Title, err = title(members, "filename")
	return b, err
}

// fileBlock tells by the bytes what a file is; a label only has to agree.
func fileBlock(at string, data inline) (chat.Block, error) {
	encoded, err := canonical64(at, data.base64)
	if err != nil {
		return chat.Block{}, err
	}
	if isPDF(encoded) {
		return pdfBlock(encoded), nil
	}
	if data.mediaType == pdf {
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
	if strings.TrimSpace(text) == "" {
		return chat.Block{}, chat.Invalid(at, "must hold some text")
	}
	return chat.Block{Type: chat.BlockDocument, Source: &chat.Source{Type: "text", MediaType: plainText, Data: text}}, nil
}

// documentPart reads the Messages API's {"type":"document","source":…} with its title
// and context. Citations have no place in OpenAI's answers and are not asked for.
func (r *reader) documentPart(v value) (chat.Block, error) {
	b, err := documentSource(v)
	if err != nil {
		return chat.Block{}, err
	}
	members, err := v.members("title", "context")
	if err != nil {
		return chat.Block{}, err
	}
	if b.Title, err = title(members, "title"); err != nil {
		return chat.Block{}, err
	}
	if context, ok := members["context"]; ok {
		b.Context, err = context.text()
	}
	return b, err
}

func documentSource(v value) (chat.Block, error) {
	source, kind, name, err := v.source()
	if err != nil {
		return chat.Block{}, err
	}
	switch name {
	case "url":
		return source.urlSource(chat.BlockDocument)
	case "base64", "text":
	default:
		return chat.Block{}, chat.Invalid(kind.at, "must be base64, url or text")
	}
	data, err := source.requireText("data", "the document")
	if err != nil {
		return chat.Block{}, err
	}
	at := source.member("data")
	if name == "text" {
		return textDocument(at, data)
	}
	return fileBlock(at, inline{mediaType: pdf, base64: data})
}

// title returns a document's title; a blank one is none.
func title(members map[string]value, name string) (string, error) {
	v, ok := members[name]
	if !ok {
		return "", nil
	}
	text, err := v.text()
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(text) > maxTitle {
		return "", chat.Invalid(v.at, "must be at most %d characters long", maxTitle)
	}
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	return text, nil
}
