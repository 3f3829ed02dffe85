package picture

import (
	"bytes"
	"context"
	"image"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// bounds is what a picture may measure. Within them Claude Code 2.1.330 passes it on to
// the byte, beyond them it scales or recompresses it and in the first case tells the
// model so in a text of its own. Measured for PNG, JPEG, GIF and WebP, still and moving, with
// sonnet, opus and haiku: any side up to 2000 pixels, up to 69×69 squares of 28 pixels
// (a square that is begun counts), a file of up to 500 KiB. Only pictures inside a
// tool_result are never touched, but the API has bounds of its own for those.
type bounds struct{ side, squares, bytes int }

var passed = bounds{side: 2000, squares: 69 * 69, bytes: 500 << 10}

const square = 28 // pixels

func (b bounds) hold(w, h int) bool {
	return max(w, h) <= b.side && squares(w)*squares(h) <= b.squares
}

func squares(n int) int { return (n + square - 1) / square }

// within returns the largest size within b that has w×h's proportions.
func (b bounds) within(w, h int) (int, int) {
	nw, nh := w, h
	for long := min(max(w, h), b.side); !b.hold(nw, nh); long-- {
		nw, nh = proportional(w, h, long)
	}
	return nw, nh
}

// proportional returns w×h scaled so that the longer side is long.
func proportional(w, h, long int) (int, int) {
	if w >= h {
		return long, max(1, (h*long+w/2)/w)
	}
	return max(1, (w*long+h/2)/h), long
}

// slots bounds how many pictures are decoded at a time in this process, and memory what
// they may take together.
var (
	slots  = make(chan struct{}, min(runtime.GOMAXPROCS(0), 4))
	memory = semaphore.NewWeighted(maxDecoding)
)

const maxDecoding = 1 << 30

// weight is what decoding a picture may take: a pixel of a progressive JPEG has four
// bytes of coefficients for each of up to four components besides its colours, one of
// any other format up to eight bytes.
func weight(h Header, data []byte) int64 {
	each := int64(8)
	if h.MediaType == "image/jpeg" && bytes.Contains(data, []byte{0xff, 0xc2}) {
		each = 20
	}
	return min(each*int64(h.Pixels()), maxDecoding)
}

// Fit returns the picture as it is to be written to Claude Code: data itself when it is
// whole and within the bounds, else a smaller picture that looks the same, which has
// the same bytes each time. Of a moving picture that has to be made smaller the first
// frame is left.
func Fit(ctx context.Context, data []byte) (fitted []byte, mediaType string, err error) {
	return passed.fit(ctx, data)
}

func (b bounds) fit(ctx context.Context, data []byte) ([]byte, string, error) {
	h, err := Check(bytes.NewReader(data))
	if err != nil {
		return nil, "", err
	}
	if err := checkScans(data, h); err != nil {
		return nil, "", err
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	need := weight(h, data)
	if err := memory.Acquire(ctx, need); err != nil {
		return nil, "", context.Cause(ctx)
	}
	defer memory.Release(need)
	f, _ := formatOf(data[:headSize]) // Check knew it
	m, err := decode(ctx, f, data)
	if err != nil {
		return nil, "", err
	}
	if b.hold(h.Width, h.Height) && len(data) <= b.bytes {
		return data, h.MediaType, nil
	}
	if m, err = b.scaled(ctx, m); err != nil {
		return nil, "", err
	}
	return b.encode(ctx, turn(m, orientation(data, h.MediaType)), h.MediaType)
}

func (b bounds) scaled(ctx context.Context, m image.Image) (image.Image, error) {
	size := m.Bounds().Size()
	w, h := b.within(size.X, size.Y)
	if w == size.X && h == size.Y {
		return m, nil
	}
	return shrink(ctx, m, w, h)
}
