package openai

import (
	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// reader reads messages.
type reader struct {
	content.Reader
}

// place is where content parts stand, which decides what they may be.
type place struct {
	what  string // for error messages
	kinds map[string]func(*reader, field.Value) (chat.Block, error)
}

var (
	inSystem    = place{"system and developer messages", kinds("text")}
	inUser      = place{"user messages", kinds("text", "image_url", "image", "document", "file")}
	inAssistant = place{"assistant messages", kinds("text", "refusal")}
	inTool      = place{"tool messages", kinds("text", "image_url", "image")}
)

func kinds(names ...string) map[string]func(*reader, field.Value) (chat.Block, error) {
	all := map[string]func(*reader, field.Value) (chat.Block, error){
		"text":      (*reader).textPart,
		"refusal":   (*reader).refusalPart,
		"image_url": (*reader).imageURLPart,
		"image":     (*reader).Image,
		"document":  (*reader).Document,
		"file":      (*reader).filePart,
	}
	some := make(map[string]func(*reader, field.Value) (chat.Block, error), len(names))
	for _, name := range names {
		some[name] = all[name]
	}
	return some
}

// content reads a message's content.
func (r *reader) content(v field.Value, p place) ([]chat.Block, error) {
	return r.Blocks(v, "part", func(v, kind field.Value, name string) (chat.Block, error) {
		if read, ok := p.kinds[name]; ok {
			return read(r, v)
		}
		return chat.Block{}, misplaced(kind, name, p)
	})
}

// misplaced says why a part cannot stand where it does.
func misplaced(kind field.Value, name string, p place) error {
	switch name {
	case "input_audio":
		return chat.Invalid(kind.At, "audio is not supported: the models read text, pictures and documents")
	case "refusal", "image_url", "image", "document", "file":
		return chat.Invalid(kind.At, "%s cannot hold a part of the type %s", p.what, name)
	}
	return chat.Invalid(kind.At, "unknown kind of content part: it must be text, image_url, image, document or file")
}

func (r *reader) textPart(v field.Value) (chat.Block, error) {
	text, err := v.RequireText("text", "the text of a part of the type text")
	return content.Text(text), err
}

func (r *reader) refusalPart(v field.Value) (chat.Block, error) {
	text, err := v.RequireText("refusal", "the text of a part of the type refusal")
	return content.Text(text), err
}
