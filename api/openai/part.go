package openai

import (
	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

// reader reads messages and keeps count of what they will cost.
type reader struct {
	pieces   int // messages and parts
	values   int // in the arguments of calls
	pictures int
	pixels   int
}

const (
	maxPieces   = 100_000       // each takes some 300 bytes of memory, and may be 20 bytes of a body
	maxValues   = 500_000       // each takes some 50 bytes, and may be two bytes of a body
	maxPictures = 600           // as the Messages API takes in one request
	maxPixels   = 1_000_000_000 // of all pictures that came as bytes: some 30 s of one core
)

// piece takes a message or part into account.
func (r *reader) piece() error {
	if r.pieces++; r.pieces > maxPieces {
		return chat.Invalid("messages", "are too many: a request can have up to %d messages and parts", maxPieces)
	}
	return nil
}

// count takes a picture into account. A body can name a hundred thousand of them, each
// a few bytes long and 50 megapixels large.
func (r *reader) count(at string, h picture.Header) error {
	r.pictures, r.pixels = r.pictures+1, r.pixels+h.Pixels()
	if r.pictures > maxPictures {
		return chat.Invalid(at, "is one picture too many: a request can have up to %d", maxPictures)
	}
	if r.pixels > maxPixels {
		return chat.Invalid(at, "is a picture too many: all pictures of a request can have up to %d megapixels", maxPixels/1_000_000)
	}
	return nil
}

// place is where content parts stand, which decides what they may be.
type place struct {
	what  string // for error messages
	kinds map[string]func(*reader, value) (chat.Block, error)
}

var (
	inSystem    = place{"system and developer messages", kinds("text")}
	inUser      = place{"user messages", kinds("text", "image_url", "image", "document", "file")}
	inAssistant = place{"assistant messages", kinds("text", "refusal")}
	inTool      = place{"tool messages", kinds("text", "image_url", "image")}
)

func kinds(names ...string) map[string]func(*reader, value) (chat.Block, error) {
	all := map[string]func(*reader, value) (chat.Block, error){
		"text":      (*reader).textPart,
		"refusal":   (*reader).refusalPart,
		"image_url": (*reader).imageURLPart,
		"image":     (*reader).imagePart,
		"document":  (*reader).documentPart,
		"file":      (*reader).filePart,
	}
	some := make(map[string]func(*reader, value) (chat.Block, error), len(names))
	for _, name := range names {
		some[name] = all[name]
	}
	return some
}

// content reads a message's content. A string is the same as one text part.
func (r *reader) content(v value, p place) ([]chat.Block, error) {
	switch {
	case v.is('"'):
		return []chat.Block{textBlock(unquote(v.raw))}, nil
	case v.is('['):
		return r.parts(v, p)
	}
	return nil, v.wrong("a string or an array of content parts")
}

func (r *reader) parts(v value, p place) ([]chat.Block, error) {
	var blocks []chat.Block
	for _, part := range v.elements() {
		b, err := r.part(part, p)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func (r *reader) part(v value, p place) (chat.Block, error) {
	if err := r.piece(); err != nil {
		return chat.Block{}, err
	}
	kind, name, err := v.kindOf("the kind of content part, like text")
	if err != nil {
		return chat.Block{}, err
	}
	if read, ok := p.kinds[name]; ok {
		return read(r, v)
	}
	switch name {
	case "input_audio":
		return chat.Block{}, chat.Invalid(kind.at, "audio is not supported: the models read text, pictures and documents")
	case "refusal", "image_url", "image", "document", "file":
		return chat.Block{}, chat.Invalid(kind.at, "%s cannot hold a part of the type %s", p.what, name)
	}
	return chat.Block{}, chat.Invalid(kind.at, "unknown kind of content part: it must be text, image_url, image, document or file")
}

// kindOf returns the member type, which says what the others of an object mean.
func (v value) kindOf(what string) (kind value, name string, err error) {
	members, err := v.members("type")
	if err != nil {
		return value{}, "", err
	}
	kind, ok := members["type"]
	if !ok {
		return value{}, "", chat.Invalid(v.at+".type", "is required: %s", what)
	}
	name, err = kind.text()
	return kind, name, err
}

// require returns a member that must be there.
func (v value) require(name, what string) (value, error) {
	members, err := v.members(name)
	if err != nil {
		return value{}, err
	}
	m, ok := members[name]
	if !ok {
		return value{}, chat.Invalid(v.member(name), "is required: %s", what)
	}
	return m, nil
}

// requireText returns a string member that must be there.
func (v value) requireText(name, what string) (string, error) {
	m, err := v.require(name, what)
	if err != nil {
		return "", err
	}
	return m.text()
}

func (r *reader) textPart(v value) (chat.Block, error) {
	text, err := v.requireText("text", "the text of a part of the type text")
	return textBlock(text), err
}

func (r *reader) refusalPart(v value) (chat.Block, error) {
	text, err := v.requireText("refusal", "the text of a part of the type refusal")
	return textBlock(text), err
}

func textBlock(text string) chat.Block {
	return chat.Block{Type: chat.BlockText, Text: text}
}
