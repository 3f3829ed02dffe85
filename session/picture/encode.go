package picture

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
)

// qualities are tried in turn until a JPEG is small enough; after the last the picture
// is made smaller.
var qualities = []int{90, 75, 60}

// encode writes a picture of at most b.bytes. One that was no JPEG stays exact, with
// its transparency, where that is small enough as a PNG; else what shows through is
// white.
func (b bounds) encode(ctx context.Context, m image.Image, mediaType string) ([]byte, string, error) {
	if mediaType != "image/jpeg" {
		out, err := b.write(ctx, func(w io.Writer) error { return png.Encode(w, m) })
		if !errors.Is(err, errTooLong) {
			return out, "image/png", err
		}
	}
	for m := flat(m); ; {
		for _, q := range qualities {
			out, err := b.write(ctx, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: q}) })
			if !errors.Is(err, errTooLong) {
				return out, "image/jpeg", err
			}
		}
		w, h := proportional(m.Rect.Dx(), m.Rect.Dy(), max(m.Rect.Dx(), m.Rect.Dy())*3/4)
		smaller, err := shrink(ctx, m, w, h)
		if err != nil {
			return nil, "", err
		}
		m = flat(smaller)
	}
}

// flat returns the picture on white, in the form that package jpeg reads fastest.
func flat(src image.Image) *image.RGBA {
	b := src.Bounds()
	m := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(m, m.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(m, m.Rect, src, b.Min, draw.Over)
	return m
}

// write collects what an encoder writes, and stops it at b.bytes.
func (b bounds) write(ctx context.Context, encode func(io.Writer) error) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	out := &bounded{most: b.bytes}
	if err := encode(out); err != nil {
		return nil, err
	}
	return out.b, nil
}

var errTooLong = errors.New("longer than it may be")

// bounded is a writer that takes most bytes.
type bounded struct {
	b    []byte
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > b.most {
		return 0, errTooLong
	}
	b.b = append(b.b, p...)
	return len(p), nil
}
