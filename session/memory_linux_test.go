package session

import "testing"

func TestRollupIsRead(t *testing.T) {
	const real = `00200000-7ffdda626000 ---p 00000000 00:00 0                              [rollup]
Rss:              157920 kB
Pss:              156224 kB
Pss_Dirty:         87136 kB
Pss_Anon:          87136 kB
Private_Clean:     68752 kB
Private_Dirty:     87136 kB
Anonymous:         87136 kB
`
	for _, tt := range []struct {
		name, text string
		want       footprint
		bad        bool
	}{
		{name: "Linux 6.18", text: real, want: footprint{total: 156224 << 10, private: 87136 << 10}},
		{name: "no private pages told", text: "Pss: 1 kB\n", want: footprint{total: 1 << 10}},
		{name: "a zombie's", text: "", bad: true},
		{name: "no number", text: "Pss: many kB\n", bad: true},
		{name: "less than nothing", text: "Pss: -5 kB\n", bad: true},
		{name: "more than there is", text: "Pss: 99999999999999999999 kB\n", bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseRollup([]byte(tt.text))
			if (err != nil) != tt.bad || err == nil && got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestStatmIsRead(t *testing.T) {
	if f, err := parseStatm([]byte("1428233 39480 17696 28932 0 1390652 0\n")); err != nil || f.total < 39480*4096 || f.private != 0 {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, bad := range []string{"", "1", "1 x", "1 -2", "1 0"} {
		if f, err := parseStatm([]byte(bad)); err == nil {
			t.Errorf("%q gives %+v", bad, f)
		}
	}
}

func FuzzMemoryFiles(f *testing.F) {
	f.Add([]byte("Pss: 156224 kB\nPrivate_Dirty: 87136 kB\n"))
	f.Add([]byte("1428233 39480 17696 28932 0 1390652 0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) (footprint, error){parseRollup, parseStatm} {
			if got, err := parse(text); err == nil && (got.total <= 0 || got.private < 0) {
				t.Errorf("%q gives %+v", text, got)
			}
		}
	})
}
