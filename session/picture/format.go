package picture

import (
	"bufio"
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// The errors of this package speak to whoever sent the picture.
var (
	ErrFormat  = errors.New("is not a PNG, JPEG, GIF or WebP picture")
	ErrHeader  = errors.New("is a picture with a broken header")
	ErrSize    = errors.New("is a picture of more than 50 megapixels, 20000 pixels a side or 200 MB of memory")
	ErrCorrupt = errors.New("is a broken picture: it cannot be decoded")
)

// What a picture may need is judged by its header, before anything is decoded: thirty
// bytes can announce a gigabyte. A photograph of a current phone has 50 megapixels.
const (
	maxSide   = 20_000
	maxPixels = 50_000_000
	maxMemory = 200_000_000 // bytes, decoded
)

// Header is what the first bytes of a picture say of it.
type Header struct {
	MediaType     string // image/png, image/jpeg, image/gif or image/webp
	Width, Height int    // as stored, before any rotation that EXIF asks for
}

// Pixels is the size of the decoded picture.
func (h Header) Pixels() int { return h.Width * h.Height }

// format is a kind of picture that the Messages API takes.
type format struct {
	mediaType string
	is        func(head []byte) bool
	config    func(io.Reader) (image.Config, error)
	decode    func(io.Reader) (image.Image, error)
}

// headSize is how many bytes tell a format.
const headSize = 12

var formats = []format{
	{"image/png", begins("\x89PNG\r\n\x1a\n"), png.DecodeConfig, png.Decode},
	{"image/jpeg", begins("\xff\xd8\xff"), jpeg.DecodeConfig, jpeg.Decode},
	{"image/gif", begins("GIF8"), gif.DecodeConfig, decodeGIF},
	{"image/webp", isWebP, webp.DecodeConfig, decodeWebP},
}

func begins(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

func isWebP(head []byte) bool {
	return len(head) == headSize && string(head[:4]) == "RIFF" && string(head[8:]) == "WEBP"
}

func formatOf(head []byte) (format, error) {
	for _, f := range formats {
		if f.is(head) {
			return f, nil
		}
	}
	return format{}, ErrFormat
}

// Check reads a picture's header. The format is told by the bytes, whatever a label
// says. What follows the header may still be broken: Fit finds that.
func Check(r io.Reader) (Header, error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(headSize)
	if err != nil && err != io.EOF {
		return Header{}, ErrHeader
	}
	f, err := formatOf(head)
	if err != nil {
		return Header{}, err
	}
	c, err := f.config(buffered)
	if err != nil || c.Width < 1 || c.Height < 1 {
		return Header{}, ErrHeader
	}
	h := Header{f.mediaType, c.Width, c.Height}
	if max(h.Width, h.Height) > maxSide || h.Pixels() > maxPixels || h.Pixels()*bytesPerPixel(c.ColorModel) > maxMemory {
		return Header{}, ErrSize
	}
	return h, nil
}

func bytesPerPixel(m color.Model) int {
	switch m {
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	case color.RGBAModel, color.NRGBAModel, color.CMYKModel, color.NYCbCrAModel:
		return 4
	case color.YCbCrModel:
		return 3
	case color.Gray16Model:
		return 2
	}
	return 1 // gray, or a palette
}
