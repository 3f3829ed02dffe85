package picture

import (
	"bytes"
	"context"
	"image"
	"image/draw"
	"image/gif"
	"io"
)

// decode reads the whole picture, of a moving one the first frame. What it costs is
// bounded by Check and checkScans; ctx ends it.
func decode(ctx context.Context, f format, data []byte) (image.Image, error) {
	m, err := f.decode(&interruptible{ctx, bytes.NewReader(data)})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, ErrCorrupt
	}
	return m, nil
}

// interruptible is a reader that fails once its context has ended: no decoder takes one.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// checkScans bounds what a progressive JPEG may cost: each of its scans goes over all
// pixels, takes a few bytes, and there is no end to their number. Encoders make up to
// some 70.
func checkScans(data []byte, h Header) error {
	const startOfScan, maxWork = "\xff\xda", 100 * maxPixels
	if h.MediaType == "image/jpeg" && bytes.Count(data, []byte(startOfScan))*h.Pixels() > maxWork {
		return ErrSize
	}
	return nil
}

// decodeGIF returns the first frame on its canvas.
func decodeGIF(r io.Reader) (image.Image, error) {
	var head bytes.Buffer
	canvas, err := gif.DecodeConfig(io.TeeReader(r, &head))
	if err != nil {
		return nil, err
	}
	frame, err := gif.Decode(io.MultiReader(&head, r))
	if err != nil {
		return nil, err
	}
	return onCanvas(frame, canvas.Width, canvas.Height), nil
}

// onCanvas puts a frame that covers only a part on the whole.
func onCanvas(frame image.Image, w, h int) image.Image {
	whole := image.Rect(0, 0, w, h)
	if frame.Bounds() == whole {
		return frame
	}
	m := image.NewNRGBA(whole)
	draw.Draw(m, frame.Bounds(), frame, frame.Bounds().Min, draw.Src)
	return m
}
