package picture

import (
	"bytes"
	"image"
	"image/draw"

	"github.com/bep/imagemeta"
)

// metadata is where EXIF is looked for.
var metadata = map[string]imagemeta.ImageFormat{
	"image/jpeg": imagemeta.JPEG, "image/png": imagemeta.PNG, "image/webp": imagemeta.WebP,
}

// orientation is how EXIF says that a picture is to be turned: 1, which is not at all,
// to 8. A picture encoded anew carries no EXIF, so it is turned for good. Metadata that
// cannot be read says nothing.
func orientation(data []byte, mediaType string) int {
	kind, ok := metadata[mediaType]
	if !ok {
		return 1
	}
	found := 1
	_, err := imagemeta.Decode(imagemeta.Options{
		R: bytes.NewReader(data), ImageFormat: kind, Sources: imagemeta.EXIF,
		ShouldHandleTag: func(tag imagemeta.TagInfo) bool { return tag.Tag == "Orientation" && tag.Namespace == "IFD0" },
		HandleTag: func(tag imagemeta.TagInfo) error {
			if v, ok := tag.Value.(uint16); ok && 1 <= v && v <= 8 {
				found = int(v)
			}
			return imagemeta.ErrStopWalking
		},
	})
	if err != nil {
		return 1
	}
	return found
}

// turn returns the picture as orientation o wants it seen. The values from 5 on swap
// rows and columns.
func turn(src image.Image, o int) image.Image {
	if o == 1 {
		return src
	}
	m := plain(src)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if o >= 5 {
		w, h = h, w
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			sx, sy := from(o, x, y, w, h)
			copy(out.Pix[out.PixOffset(x, y):][:4], m.Pix[m.PixOffset(sx, sy):])
		}
	}
	return out
}

// from is where the pixel at x, y of the turned w×h picture is stored, EXIF 2.32
// section 4.6.4, tag 274.
func from(o, x, y, w, h int) (int, int) {
	switch o {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, w - 1 - x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return h - 1 - y, x
	}
	return x, y
}

// plain returns the picture with its pixels at hand, beginning at 0, 0.
func plain(src image.Image) *image.NRGBA {
	if m, ok := src.(*image.NRGBA); ok && m.Rect.Min == (image.Point{}) {
		return m
	}
	b := src.Bounds()
	m := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(m, m.Rect, src, b.Min, draw.Src)
	return m
}
