package chat_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"maxrelay/session/chat"
)

func TestToolNamesAreMappedOnlyWhereTheyMust(t *testing.T) {
	for client, wire := range map[string]string{
		"get_weather":                    "get_weather",
		"toolu_01A-b":                    "toolu_01A-b",
		"get.weather":                    "enc_get_2eweather",
		"a_b c":                          "enc_a_5fb_20c",
		"wetter für":                     "enc_wetter_20f_c3_bcr",
		"":                               "enc_",
		"enc_get_2eweather":              "enc_enc_5fget_5f2eweather",
		"enc_open":                       "enc_enc_5fopen",
		"enc_5":                          "enc_enc_5f5",
		"enc_file_name":                  "enc_file_name", // "_na" stands for nothing
		"functions.get_weather:0":        "enc_functions_2eget_5fweather_3a0",
		"call_abc|fc_0123456789":         "enc_call_5fabc_7cfc_5f0123456789",
		"ends_with_":                     "ends_with_",
		"enc_ends_":                      "enc_ends_",
		"\xff":                           "enc__ff",
		"chatcmpl-tool-0a1b2c3d4e5f6071": "chatcmpl-tool-0a1b2c3d4e5f6071",
		"Agent":                          "enc_Agent",
		"enc_Agent":                      "enc_enc_5fAgent",
		"ToolSearch":                     "enc_ToolSearch",
		"Bash":                           "Bash",
	} {
		if got := chat.ToolName(client); got != wire {
			t.Errorf("%q became %q, want %q", client, got, wire)
		}
		if got := chat.ClientToolName(wire); got != client {
			t.Errorf("%q came back as %q", client, got)
		}
	}
}

var taken = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func FuzzToolName(f *testing.F) {
	for _, s := range []string{"", "a", "a.b", "enc_", "enc_a", "enc__", "enc__5", "enc__5f", "enc__5F", "\x00\xff", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		wire := chat.ToolName(s)
		if !taken.MatchString(wire) || len(wire) > 3*len(s)+4 {
			t.Errorf("%q became %q", s, wire)
		}
		if back := chat.ClientToolName(wire); back != s { // so no two have the same
			t.Errorf("%q became %q and came back as %q", s, wire, back)
		}
		if chat.ToolID(s) != wire || chat.ClientToolID(wire) != s {
			t.Error("ids are not mapped as names")
		}
	})
}

func TestNoTwoToolNamesMeet(t *testing.T) {
	names := rapid.StringOfN(rapid.SampledFrom([]rune("enc_5f.a")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		if (chat.ToolName(a) == chat.ToolName(b)) != (a == b) {
			t.Errorf("%q and %q meet", a, b)
		}
	})
}
