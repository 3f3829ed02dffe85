package content

import (
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

// Text makes a block of text.
func Text(text string) chat.Block {
	return chat.Block{Type: chat.BlockText, Text: text}
}
