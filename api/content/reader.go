package content

import (
	"maxrelay/api/field"
	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

// Reader reads the content of one request and keeps count of what it will cost. The
// zero value is ready.
type Reader struct {
	pieces   int // messages and blocks
	values   int // in the arguments of calls
	pictures int
	pixels   int
}

// What a request may hold.
const (
	MaxPieces   = 100_000       // each takes some 300 bytes of memory, and may be 20 bytes of a body
	MaxValues   = 500_000       // each takes some 50 bytes, and may be two bytes of a body
	maxPictures = 600           // as the Messages API takes in one request
	maxPixels   = 1_000_000_000 // of all pictures that came as bytes: some 30 s of one core
)

// Piece takes a message or a block into account.
func (r *Reader) Piece() error {
	if r.pieces++; r.pieces > MaxPieces {
		return chat.Invalid("messages", "are too many: a request can have up to %d messages and parts", MaxPieces)
	}
	return nil
}

// count takes a picture into account. A body can name a hundred thousand of them, each
// a few bytes long and 50 megapixels large.
func (r *Reader) count(at string, h picture.Header) error {
	r.pictures, r.pixels = r.pictures+1, r.pixels+h.Pixels()
	if r.pictures > maxPictures {
		return chat.Invalid(at, "is one picture too many: a request can have up to %d", maxPictures)
	}
	if r.pixels > maxPixels {
		return chat.Invalid(at, "is a picture too many: all pictures of a request can have up to %d megapixels", maxPixels/1_000_000)
	}
	return nil
}

// Blocks reads content: a string, which is the same as one block of text, or an array of
// blocks, each read by one that is told its type. Noun is what the API calls a block.
func (r *Reader) Blocks(v field.Value, noun string, one func(v, kind field.Value, name string) (chat.Block, error)) ([]chat.Block, error) {
	if v.Is('"') {
		return []chat.Block{Text(field.Unquote(v.Raw))}, nil
	}
	if !v.Is('[') {
		return nil, v.Wrong("a string or an array of content " + noun + "s")
	}
	var blocks []chat.Block
	for _, e := range v.Elements() {
		if err := r.Piece(); err != nil {
			return nil, err
		}
		kind, name, err := e.Type("the kind of content " + noun + ", like text")
		if err != nil {
			return nil, err
		}
		b, err := one(e, kind, name)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// Texts returns those of all blocks that are not blank.
func Texts(blocks []chat.Block) (texts []string) {
	for _, b := range blocks {
		if !chat.Blank(b.Text) {
			texts = append(texts, b.Text)
		}
	}
	return texts
}

// Text makes a block of text.
func Text(text string) chat.Block {
	return chat.Block{Type: chat.BlockText, Text: text}
}
