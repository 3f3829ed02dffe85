package content

import (
	"encoding/base64"
	"testing"
)

func FuzzCanonical64(f *testing.F) {
	for _, s := range []string{"", "a", "QQ==", "QR==", "QQ", "-_-_", "+/+/", "Q Q\n=\r=", "====", "Q===", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := canonical64("p", s)
		if err != nil {
			return
		}
		data, err := base64.StdEncoding.Strict().DecodeString(got)
		if err != nil || base64.StdEncoding.EncodeToString(data) != got {
			t.Fatalf("%q became %q, which is not canonical (%v)", s, got, err)
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if again, err := canonical64("p", enc.EncodeToString(data)); err != nil || again != got {
				t.Fatalf("%q in another form became %q (%v)", got, again, err)
			}
		}
	})
}
