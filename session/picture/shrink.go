package picture

import (
	"context"
	"image"
	"image/draw"
)

// shrink scales a picture down to w×h. Each new pixel is the mean of the area it
// covers, computed in whole numbers, so the result is the same on every machine. Only
// a row of the source at a time is converted: package draw's kernels would need half a
// gigabyte for a photograph.
func shrink(ctx context.Context, src image.Image, w, h int) (*image.NRGBA, error) {
	b := src.Bounds()
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	row := image.NewRGBA(image.Rect(0, 0, b.Dx(), 1))
	sums, line := make([]uint64, 4*w), make([]uint64, 4*w)
	area := uint64(b.Dx()) * uint64(b.Dy())
	// A source row is h units high and a new one b.Dy(), so that they meet at the end.
	y, missing := 0, b.Dy()
	for sy := range b.Dy() {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		draw.Draw(row, row.Rect, src, image.Pt(b.Min.X, b.Min.Y+sy), draw.Src)
		squeeze(line, row.Pix, w)
		for left := h; left > 0; {
			n := min(left, missing)
			for i, v := range line {
				sums[i] += v * uint64(n)
			}
			left, missing = left-n, missing-n
			if missing == 0 {
				average(dst.Pix[y*dst.Stride:], sums, area)
				clear(sums)
				y, missing = y+1, b.Dy()
			}
		}
	}
	return dst, nil
}

// squeeze sums a row of premultiplied pixels into w of them. A source pixel is w units
// wide and a new one as many as there are source pixels, so no source pixel reaches
// over more than two.
func squeeze(line []uint64, pix []uint8, w int) {
	wide := uint32(len(pix) / 4)
	missing := wide
	var r, g, b, a uint32 // at most 255 × maxSide
	for ; len(pix) >= 4; pix = pix[4:] {
		n := min(uint32(w), missing)
		r, g, b, a = r+n*uint32(pix[0]), g+n*uint32(pix[1]), b+n*uint32(pix[2]), a+n*uint32(pix[3])
		if missing -= n; missing > 0 {
			continue
		}
		line[0], line[1], line[2], line[3] = uint64(r), uint64(g), uint64(b), uint64(a)
		line = line[4:]
		n = uint32(w) - n
		r, g, b, a = n*uint32(pix[0]), n*uint32(pix[1]), n*uint32(pix[2]), n*uint32(pix[3])
		missing = wide - n
	}
}

// average writes a row of sums over an area as pixels that are not premultiplied.
func average(pix []uint8, sums []uint64, area uint64) {
	for i := 0; i < len(sums); i += 4 {
		alpha := sums[i+3]
		if alpha == 0 {
			continue
		}
		for c := range 3 {
			pix[i+c] = uint8(min(255, (sums[i+c]*255+alpha/2)/alpha))
		}
		pix[i+3] = uint8((alpha + area/2) / area)
	}
}
