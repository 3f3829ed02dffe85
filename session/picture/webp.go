package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/draw"
	"io"

	"golang.org/x/image/webp"
)

// The container of WebP is RFC 9649, section 2: chunks of a name, a length and data.
const (
	chunkHeader = 8
	canvasChunk = 10 // bytes of data of VP8X
	frameHeader = 16 // bytes before a frame's own chunks
)

// Bits of VP8X's first byte.
const (
	hasAnimation = 1 << 1
	hasAlpha     = 1 << 4
)

var errWebP = errors.New("webp: invalid format")

// decodeWebP decodes a still picture, or the first frame of a moving one, which
// package webp does not know.
func decodeWebP(r io.Reader) (image.Image, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	chunks := data[min(headSize, len(data)):]
	name, canvas, rest := nextChunk(chunks)
	if name != "VP8X" || len(canvas) != canvasChunk || canvas[0]&hasAnimation == 0 {
		return webp.Decode(bytes.NewReader(data))
	}
	for len(rest) > 0 {
		var body []byte
		if name, body, rest = nextChunk(rest); name == "ANMF" {
			return firstFrame(body, 1+number24(canvas[4:]), 1+number24(canvas[7:]))
		}
	}
	return nil, errWebP
}

// firstFrame decodes a frame as the still picture that it is, and puts it in its place.
func firstFrame(body []byte, w, h int) (image.Image, error) {
	if len(body) < frameHeader {
		return nil, errWebP
	}
	x, y := 2*number24(body), 2*number24(body[3:])
	place := image.Rect(x, y, x+1+number24(body[6:]), y+1+number24(body[9:]))
	if !place.In(image.Rect(0, 0, w, h)) {
		return nil, errWebP
	}
	frame, err := webp.Decode(bytes.NewReader(still(body[6:12], body[frameHeader:])))
	if err != nil {
		return nil, err
	}
	if place == image.Rect(0, 0, w, h) {
		return frame, nil
	}
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, place, frame, frame.Bounds().Min, draw.Src)
	return m, nil
}

// still makes a file of a frame's size and chunks. The size stands in the file's
// header too, so that package webp holds the frame to it.
func still(size, chunks []byte) []byte {
	canvas := append([]byte{0, 0, 0, 0}, size...)
	if name, _, _ := nextChunk(chunks); name == "ALPH" {
		canvas[0] = hasAlpha
	}
	body := append([]byte("WEBP"), chunk("VP8X", canvas)...)
	return chunk("RIFF", append(body, chunks...))
}

func chunk(name string, body []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body)))
	return append(out, body...)
}

// nextChunk takes one chunk off b; of one that is cut off it returns what there is.
func nextChunk(b []byte) (name string, body, rest []byte) {
	if len(b) < chunkHeader {
		return "", nil, nil
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	name, b = string(b[:4]), b[chunkHeader:]
	body, b = b[:min(n, len(b))], b[min(n, len(b)):]
	return name, body, b[min(n%2, len(b)):] // padded to even
}

func number24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
