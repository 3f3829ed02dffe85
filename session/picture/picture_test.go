package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// painted fills m with soft gradients, which compress as photographs do.
func painted(m draw.Image) draw.Image {
	b := m.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			m.Set(b.Min.X+x, b.Min.Y+y, color.NRGBA{uint8(255 * x / b.Dx()), uint8(255 * y / b.Dy()), 90, 255})
		}
	}
	return m
}

func noise(w, h int, alpha bool) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(random.Uint32())
		if i%4 == 3 && !alpha {
			m.Pix[i] = 255
		}
	}
	return m
}

func asPNG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asGIF(t testing.TB, frames ...*image.Paletted) []byte {
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: frames, Delay: make([]int, len(frames))}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func paletted(r image.Rectangle) *image.Paletted {
	return image.NewPaletted(r, color.Palette{color.White, color.Black, color.Transparent})
}

// plainVP8L is the lossless image data of one colour: every code has one symbol, so
// that pixels take no bits (RFC 9649 section 3).
func plainVP8L(w, h int) []byte {
	var data []byte
	n := 0
	put := func(v, bits int) {
		for i := range bits {
			if n%8 == 0 {
				data = append(data, 0)
			}
			data[n/8] |= byte(v>>i&1) << (n % 8)
			n++
		}
	}
	put(0x2f, 8)
	put(w-1, 14)
	put(h-1, 14)
	put(0, 1+3+1+1+1) // no alpha, version 0, no transform, no colour cache, one code group
	for _, symbol := range []int{200, 100, 50, 255, 0} {
		put(0b101, 3) // a simple code of one symbol of 8 bits
		put(symbol, 8)
	}
	return append(data, make([]byte, n/8%2)...)[:(len(data)+1)&^1]
}

func stillWebP(w, h int) []byte {
	return chunk("RIFF", append([]byte("WEBP"), chunk("VP8L", plainVP8L(w, h))...))
}

func number(n, size int) (b []byte) {
	for range size {
		b, n = append(b, byte(n)), n>>8
	}
	return b
}

// movingWebP has frames of the given size on a larger canvas.
func movingWebP(canvasW, canvasH, w, h int) []byte {
	canvas := bytes.Join([][]byte{{hasAnimation, 0, 0, 0}, number(canvasW-1, 3), number(canvasH-1, 3)}, nil)
	frame := bytes.Join([][]byte{number(0, 3), number(0, 3), number(w-1, 3), number(h-1, 3), {10, 0, 0, 0}, chunk("VP8L", plainVP8L(w, h))}, nil)
	return chunk("RIFF", bytes.Join([][]byte{[]byte("WEBP"), chunk("VP8X", canvas), chunk("ANIM", make([]byte, 6)), chunk("ANMF", frame), chunk("ANMF", frame)}, nil))
}

// rotated adds an EXIF segment with an orientation to a JPEG.
func rotated(j []byte, orientation byte) []byte {
	exif := append([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), orientation, 0, 0, 0, 0, 0, 0)
	segment := append([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)}, exif...)
	return bytes.Join([][]byte{j[:2], segment, j[2:]}, nil)
}

var goroot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
})

// sample reads one of the pictures that Go's own decoders are tested with.
func sample(t testing.TB, name string) []byte {
	root, err := goroot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "src", "image", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rect(w, h int) image.Rectangle { return image.Rect(0, 0, w, h) }

func TestPicturesWithinTheBoundsStayAsTheyAre(t *testing.T) {
	for name, tc := range map[string]struct {
		data      []byte
		mediaType string
	}{
		"png":              {asPNG(t, painted(image.NewNRGBA(rect(300, 200)))), "image/png"},
		"gray png":         {asPNG(t, painted(image.NewGray(rect(300, 200)))), "image/png"},
		"16 bit png":       {asPNG(t, painted(image.NewNRGBA64(rect(300, 200)))), "image/png"},
		"paletted png":     {asPNG(t, paletted(rect(300, 200))), "image/png"},
		"see-through png":  {asPNG(t, noise(30, 20, true)), "image/png"},
		"the largest png":  {asPNG(t, paletted(rect(2000, 1848))), "image/png"},
		"bytes behind it":  {append(asPNG(t, paletted(rect(3, 2))), "and more"...), "image/png"},
		"jpeg":             {asJPEG(t, painted(image.NewRGBA(rect(300, 200)))), "image/jpeg"},
		"gray jpeg":        {sample(t, "video-005.gray.jpeg"), "image/jpeg"},
		"cmyk jpeg":        {sample(t, "video-001.cmyk.jpeg"), "image/jpeg"},
		"progressive jpeg": {sample(t, "video-001.progressive.jpeg"), "image/jpeg"},
		"turned jpeg":      {rotated(asJPEG(t, painted(image.NewRGBA(rect(300, 200)))), 6), "image/jpeg"},
		"gif":              {asGIF(t, paletted(rect(300, 200))), "image/gif"},
		"moving gif":       {asGIF(t, paletted(rect(300, 200)), paletted(image.Rect(5, 5, 9, 9))), "image/gif"},
		"webp":             {stillWebP(300, 200), "image/webp"},
		"moving webp":      {movingWebP(300, 200, 100, 50), "image/webp"},
	} {
		t.Run(name, func(t *testing.T) {
			got, mediaType, err := Fit(t.Context(), tc.data)
			if err != nil || mediaType != tc.mediaType || !bytes.Equal(got, tc.data) {
				t.Errorf("%d bytes became %d of %s (%v)", len(tc.data), len(got), mediaType, err)
			}
			if h, err := Check(bytes.NewReader(tc.data)); err != nil || h.MediaType != tc.mediaType {
				t.Errorf("checked as %+v (%v)", h, err)
			}
		})
	}
}

func TestLargePicturesBecomeSmallOnes(t *testing.T) {
	for name, tc := range map[string]struct {
		data      []byte
		mediaType string
		w, h      int // 0: whatever is within the bounds
	}{
		"one pixel too wide":   {asPNG(t, paletted(rect(2001, 100))), "image/png", 2000, 100},
		"a line":               {asPNG(t, paletted(rect(1, 9000))), "image/png", 1, 2000},
		"a gray png":           {asPNG(t, painted(image.NewGray(rect(2500, 100)))), "image/png", 2000, 80},
		"a 16 bit png":         {asPNG(t, painted(image.NewGray16(rect(2500, 100)))), "image/png", 2000, 80},
		"a jpeg":               {asJPEG(t, painted(image.NewRGBA(rect(2500, 100)))), "image/jpeg", 2000, 80},
		"a turned jpeg":        {rotated(asJPEG(t, painted(image.NewRGBA(rect(2500, 100)))), 6), "image/jpeg", 80, 2000},
		"a gif":                {asGIF(t, paletted(rect(2500, 100)), paletted(rect(2500, 100))), "image/png", 2000, 80},
		"a webp":               {stillWebP(2500, 100), "image/png", 2000, 80},
		"a moving webp":        {movingWebP(2500, 100, 100, 50), "image/png", 2000, 80},
		"bytes of noise":       {asPNG(t, noise(450, 400, false)), "image/jpeg", 450, 400},
		"see-through noise":    {asPNG(t, noise(450, 400, true)), "image/jpeg", 450, 400},
		"a jpeg of much noise": {asJPEG(t, noise(600, 600, false)), "image/jpeg", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, mediaType, err := Fit(t.Context(), tc.data)
			if err != nil || mediaType != tc.mediaType {
				t.Fatalf("%s (%v)", mediaType, err)
			}
			h, err := Check(bytes.NewReader(got))
			if err != nil || h.MediaType != mediaType || !passed.hold(h.Width, h.Height) || len(got) > passed.bytes {
				t.Errorf("became %+v of %d bytes (%v)", h, len(got), err)
			}
			if tc.w > 0 && (h.Width != tc.w || h.Height != tc.h) {
				t.Errorf("became %dx%d, want %dx%d", h.Width, h.Height, tc.w, tc.h)
			}
			if again, _, err := Fit(t.Context(), tc.data); err != nil || !bytes.Equal(again, got) {
				t.Error("another time it became something else")
			}
			if again, _, err := Fit(t.Context(), got); err != nil || !bytes.Equal(again, got) {
				t.Error("what fits was changed again")
			}
		})
	}
}

// What Claude Code 2.1.330 was seen to leave alone, and the sizes it makes of others.
func TestSizes(t *testing.T) {
	for _, tc := range []struct{ w, h, wantW, wantH int }{
		{1, 1, 1, 1}, {2000, 1, 2000, 1}, {1932, 1932, 1932, 1932}, {2000, 1848, 2000, 1848}, {1568, 1568, 1568, 1568},
		{2001, 100, 2000, 100}, {100, 2001, 100, 2000}, {2500, 1000, 2000, 800}, {2000, 2000, 1932, 1932}, {8000, 100, 2000, 25},
		{1933, 1932, 1932, 1931}, {2000, 1849, 1999, 1848}, {1960, 1932, 1932, 1904}, {9000, 1, 2000, 1},
	} {
		w, h := passed.within(tc.w, tc.h)
		if w != tc.wantW || h != tc.wantH {
			t.Errorf("%dx%d became %dx%d, want %dx%d", tc.w, tc.h, w, h, tc.wantW, tc.wantH)
		}
		if passed.hold(tc.w, tc.h) != (w == tc.w && h == tc.h) {
			t.Errorf("%dx%d: a size that holds was changed, or another kept", tc.w, tc.h)
		}
	}
}

// Sample pictures are small, so the bounds are.
func TestColoursAndTransparencySurvive(t *testing.T) {
	small := bounds{side: 50, squares: 100, bytes: 100 << 10}
	half := image.NewNRGBA(rect(100, 100))
	draw.Draw(half, image.Rect(0, 0, 50, 100), image.NewUniform(color.NRGBA{200, 0, 0, 128}), image.Point{}, draw.Src)
	seen := asGIF(t, paletted(image.Rect(0, 0, 100, 100)), paletted(rect(1, 1)))
	for name, tc := range map[string]struct {
		data []byte
		x, y int
		want color.NRGBA
		near int
	}{
		"half transparent":      {asPNG(t, half), 10, 10, color.NRGBA{200, 0, 0, 128}, 1},
		"transparent":           {asPNG(t, half), 40, 10, color.NRGBA{}, 0},
		"gif":                   {seen, 10, 10, color.NRGBA{255, 255, 255, 255}, 0},
		"webp":                  {stillWebP(100, 100), 10, 10, color.NRGBA{100, 200, 50, 255}, 0},
		"webp around its frame": {movingWebP(100, 100, 50, 50), 40, 40, color.NRGBA{}, 0},
		"webp in its frame":     {movingWebP(100, 100, 50, 50), 10, 10, color.NRGBA{100, 200, 50, 255}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := small.fit(t.Context(), tc.data)
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := image.Decode(bytes.NewReader(got))
			if err != nil || m.Bounds() != rect(50, 50) {
				t.Fatal(err, m.Bounds())
			}
			if c := color.NRGBAModel.Convert(m.At(tc.x, tc.y)).(color.NRGBA); !alike(c, tc.want, tc.near) {
				t.Errorf("colour %v, want %v", c, tc.want)
			}
		})
	}
}

func alike(a, b color.NRGBA, near int) bool {
	for _, d := range []int{int(a.R) - int(b.R), int(a.G) - int(b.G), int(a.B) - int(b.B), int(a.A) - int(b.A)} {
		if max(d, -d) > near {
			return false
		}
	}
	return true
}

// The mean colour of a picture in another colour model has to stay what it was.
func TestSamplesKeepTheirLook(t *testing.T) {
	small := bounds{side: 60, squares: 100, bytes: 100 << 10}
	for _, name := range []string{"video-001.jpeg", "video-001.cmyk.jpeg", "video-001.rgb.jpeg", "video-001.progressive.jpeg",
		"video-005.gray.jpeg", "video-001.221212.jpeg", "video-001.5bpp.gif", "video-001.interlaced.gif", "video-001.png"} {
		data := sample(t, name)
		want, _, err := image.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		fitted, _, err := small.fit(t.Context(), data)
		if err != nil {
			t.Fatal(name, err)
		}
		got, _, err := image.Decode(bytes.NewReader(fitted))
		if err != nil {
			t.Fatal(name, err)
		}
		if a, b := mean(got), mean(want); !alike(a, b, 4) {
			t.Errorf("%s: mean colour %v, was %v", name, a, b)
		}
	}
}

func mean(m image.Image) color.NRGBA {
	one, _ := shrink(context.Background(), m, 1, 1)
	return one.NRGBAAt(0, 0)
}

func TestEveryOrientationIsTurnedUpright(t *testing.T) {
	// The corners of the upright picture, of which orientation o stores from(o).
	upright := image.NewNRGBA(rect(64, 32))
	for i, c := range []color.NRGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}} {
		draw.Draw(upright, rect(32, 16).Add(image.Pt(i%2*32, i/2*16)), image.NewUniform(c), image.Point{}, draw.Src)
	}
	for o := 1; o <= 8; o++ {
		t.Run(fmt.Sprint(o), func(t *testing.T) {
			stored := image.NewNRGBA(rect(64, 32))
			if o >= 5 {
				stored = image.NewNRGBA(rect(32, 64))
			}
			for y := range 32 {
				for x := range 64 {
					sx, sy := from(o, x, y, 64, 32)
					stored.SetNRGBA(sx, sy, upright.NRGBAAt(x, y))
				}
			}
			data := rotated(asJPEG(t, stored), byte(o))
			if got := orientation(data, "image/jpeg"); got != o {
				t.Fatalf("orientation %d", got)
			}
			fitted, _, err := bounds{side: 32, squares: 100, bytes: 100 << 10}.fit(t.Context(), data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jpeg.Decode(bytes.NewReader(fitted))
			if err != nil || got.Bounds() != rect(32, 16) {
				t.Fatal(err, got.Bounds())
			}
			for _, p := range []image.Point{{4, 4}, {28, 4}, {4, 12}, {28, 12}} {
				if a, b := color.NRGBAModel.Convert(got.At(p.X, p.Y)).(color.NRGBA), upright.NRGBAAt(2*p.X, 2*p.Y); !alike(a, b, 40) {
					t.Errorf("at %v %v, want %v", p, a, b)
				}
			}
		})
	}
}

func TestBrokenPicturesAreRefused(t *testing.T) {
	p, j, g, w := asPNG(t, noise(30, 20, false)), asJPEG(t, noise(30, 20, false)), asGIF(t, paletted(rect(30, 20))), stillWebP(30, 20)
	flipped := bytes.Clone(p)
	flipped[len(flipped)-20] ^= 1
	smuggled := chunk("RIFF", bytes.Join([][]byte{[]byte("WEBP"), chunk("VP8X", make([]byte, 10)), chunk("VP8L", plainVP8L(16384, 16384))}, nil))
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                     {nil, ErrFormat},
		"text":                        {[]byte("hello, world, how are you"), ErrFormat},
		"bmp":                         {[]byte("BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00"), ErrFormat},
		"svg":                         {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), ErrFormat},
		"pdf":                         {[]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3"), ErrFormat},
		"wave":                        {[]byte("RIFF\x24\x00\x00\x00WAVEfmt "), ErrFormat},
		"a png signature":             {p[:8], ErrHeader},
		"a jpeg without size":         {j[:20], ErrHeader},
		"a gif header":                {g[:8], ErrHeader},
		"a webp header":               {w[:12], ErrHeader},
		"a gif without area":          {[]byte("GIF89a\x00\x00\x00\x00\x00\x00\x00;"), ErrHeader},
		"a png cut off":               {p[:len(p)/2], ErrCorrupt},
		"a png without its end":       {p[:len(p)-12], ErrCorrupt},
		"a png with a flipped bit":    {flipped, ErrCorrupt},
		"a jpeg cut off":              {j[:len(j)/2], ErrCorrupt},
		"a gif cut off":               {g[:len(g)/2], ErrCorrupt},
		"a webp cut off":              {w[:len(w)-6], ErrCorrupt},
		"a moving webp cut off":       {movingWebP(30, 20, 30, 20)[:60], ErrCorrupt},
		"a frame beyond its canvas":   {movingWebP(30, 20, 31, 20), ErrCorrupt},
		"gigabytes behind a header":   {smuggled, ErrCorrupt},
		"a wide bomb":                 {stillWebP(16384, 16384), ErrSize},
		"a long line":                 {asPNG(t, paletted(rect(20001, 1))), ErrSize},
		"a picture of many scans":     {append(j, bytes.Repeat([]byte("\xff\xda"), 100*maxPixels/600+1)...), ErrSize},
		"a png that announces memory": {png16(t, 6000, 6000), ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, err := Fit(t.Context(), tc.data); !errors.Is(err, tc.want) {
				t.Errorf("%d bytes, error %v, want %v", len(got), err, tc.want)
			}
		})
	}
}

// png16 announces 16 bits a channel; there is no more of it than the header.
func png16(t *testing.T, w, h int) []byte {
	whole := asPNG(t, image.NewNRGBA64(rect(1, 1)))
	copy(whole[16:], []byte{0, 0, byte(w >> 8), byte(w), 0, 0, byte(h >> 8), byte(h)})
	return binary.BigEndian.AppendUint32(whole[:29], crc32.ChecksumIEEE(whole[12:29]))
}

func TestAnEndedContextEndsTheWork(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, _, err := Fit(ctx, asPNG(t, paletted(rect(2500, 100)))); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	if _, err := decode(ctx, formats[0], asPNG(t, paletted(rect(30, 20)))); !errors.Is(err, why) {
		t.Errorf("decode: error %v", err)
	}
	if _, err := shrink(ctx, paletted(rect(30, 20)), 3, 2); !errors.Is(err, why) {
		t.Errorf("shrink: error %v", err)
	}
	if len(slots) != 0 {
		t.Error("a slot was kept")
	}
}

func TestShrinkIsTheMeanOfWhatAPixelCovers(t *testing.T) {
	m := image.NewGray(rect(3, 2))
	copy(m.Pix, []uint8{0, 90, 30, 60, 0, 120})
	got, err := shrink(t.Context(), m, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	// The first covers one and a half columns: (0+60 + (90+0)/2) / 3.
	if a, b := got.NRGBAAt(0, 0), got.NRGBAAt(1, 0); a.R != 35 || b.R != 65 {
		t.Errorf("got %v and %v, want 35 and 65", a, b)
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Check(bytes.NewReader(data))
		if err == nil && (h.Width < 1 || h.Height < 1 || h.Pixels() > maxPixels) {
			t.Errorf("accepted %+v", h)
		}
	})
}

func FuzzFit(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	tight := bounds{side: 20, squares: 9, bytes: 4 << 10}
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := Check(bytes.NewReader(data)); err != nil || h.Pixels() > 1<<16 {
			return
		}
		fitted, mediaType, err := tight.fit(t.Context(), data)
		if err != nil {
			return
		}
		again, sameType, err := tight.fit(t.Context(), fitted)
		if err != nil || sameType != mediaType || !bytes.Equal(again, fitted) {
			t.Errorf("what was made is not what fits (%v)", err)
		}
		orientation(data, mediaType)
	})
}

func seeds(t testing.TB) [][]byte {
	return [][]byte{
		asPNG(t, noise(30, 20, true)), asPNG(t, painted(image.NewGray16(rect(9, 9)))), asJPEG(t, noise(30, 20, false)),
		rotated(asJPEG(t, noise(8, 8, false)), 6), asGIF(t, paletted(rect(30, 20)), paletted(rect(3, 2))),
		stillWebP(30, 20), movingWebP(30, 20, 10, 10), sample(t, "video-001.q50.420.progressive.jpeg"), []byte("BM"),
	}
}

func BenchmarkFit(b *testing.B) {
	for name, data := range map[string][]byte{
		"held/png":       asPNG(b, painted(image.NewNRGBA(rect(1900, 1900)))),
		"held/jpeg":      asJPEG(b, painted(image.NewRGBA(rect(1900, 1900)))),
		"scaled/jpeg12M": asJPEG(b, painted(image.NewRGBA(rect(4000, 3000)))),
		"scaled/noise5M": asPNG(b, noise(2500, 2000, false)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Fit(b.Context(), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
