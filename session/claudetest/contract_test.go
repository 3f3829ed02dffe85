package claudetest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/claudetest"
)

// The fake is worth something only while it says what the real CLI says: both go through the same scenes, and their lines are
// compared.
func TestSpeaksLikeTheRealCLI(t *testing.T) {
	api, err := anthropictest.Start(anthropictest.WithDirectives())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			real, fake := startReal(t, api.URL()), startFake(t)
			s.play(real)
			s.play(fake)
			want, got := script(real.read), script(fake.read)
			if !slices.Equal(got, want) {
				t.Errorf("the fake differs\n%s", diff(got, want))
			}
			for kind, keys := range strangeKeys(fake.read, real.read) {
				t.Errorf("%s has keys that the real CLI does not send: %v", kind, keys)
			}
		})
	}
}

func startReal(t *testing.T, api string) *driver {
	home := t.TempDir()
	return start(t, claudetest.RealCLI(t), []string{"PATH=/usr/bin:/bin", "HOME=" + home, "DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1",
		"DISABLE_ERROR_REPORTING=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "CLAUDE_CODE_DISABLE_FILE_MENTIONS=1",
		"CLAUDE_CODE_DISABLE_ATTACHMENTS=1", "CLAUDE_CODE_TOTAL_TOKENS_REMINDER=off", "CLAUDE_CODE_MAX_RETRIES=0", "DISABLE_AUTO_COMPACT=1",
		"CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK=1", "CLAUDE_CODE_DISABLE_REFUSAL_RETRY=1", "ENABLE_TOOL_SEARCH=false",
		"CLAUDE_AGENT_SDK_MCP_NO_PREFIX=1", "ANTHROPIC_API_KEY=made-up", "ANTHROPIC_BASE_URL=" + api}, flags...)
}

type scene struct {
	name string
	play func(d *driver)
}

var hooks = object{"systemPrompt": []string{"s"}, "hooks": object{"PreToolUse": []any{object{"hookCallbackIds": []string{"defer"}}}}}

var scenes = []scene{
	{"control requests", func(d *driver) {
		d.ask("initialize", hooks)
		d.ask("set_model", object{"model": "haiku"})
		d.ask("apply_flag_settings", object{"settings": object{"effortLevel": "low", "env": object{"X": "1"}}})
		d.ask("nonsense", nil)
		d.ask("interrupt", object{"cancel_queued": true})
		d.ask("interrupt", nil)
		d.ask("end_session", nil)
		d.exit()
	}},
	{"turns and rewinds", func(d *driver) {
		d.ask("initialize", hooks)
		first, _ := d.turn("[[tokens 3]]")
		past, last := uuid(), uuid()
		d.send(silent(past, text("u")))
		d.result(past)
		d.send(assistant(text("a")), user(last, text("[[tokens 2]]")))
		d.result(last)
		d.rewind(first, first)
		d.rewind(first, "")
		d.rewind(first, uuid())
		d.rewind(uuid(), last)
		d.rewind(last, first)
		d.rewind(last, last)
		d.rewind(first, past)
		d.rewind(first, past)
		d.turn("[[think 2]] [[tokens 1]]")
	}},
	{"tools", func(d *driver) {
		d.ask("initialize", hooks)
		d.ask("mcp_set_servers", object{"servers": object{"t1": object{"type": "sdk", "name": "t1"}}})
		d.until("tools/list", func(l object) bool { return strings.HasSuffix(signature(l), "tools/list") })
		call, _ := d.turn(`[[tool get_weather {"city":"Oslo"}]]`)
		result := uuid()
		d.send(user(result, []any{object{"type": "tool_result", "tool_use_id": d.lastCall(), "content": "cold"}}))
		d.result(result)
		d.rewind(result, result)
		d.rewind(call, result)
		d.turn(`[[tool Bash {"command":"x"}]]`)
		d.ask("mcp_set_servers", object{"servers": object{}})
	}},
	{"failures", func(d *driver) {
		d.ask("initialize", hooks)
		for _, s := range []string{"[[status 401]]", "[[status 429]]", "[[status 529]]", "[[lost after 2]] [[tokens 5 delay 100ms]]"} {
			id, _ := d.turn(s)
			d.rewind(id, id)
		}
	}},
	{"interrupts", func(d *driver) {
		d.ask("initialize", hooks)
		id := uuid()
		d.send(user(id, text("[[tokens 3]] [[hang after 3]]")))
		for range 3 {
			d.firstDelta()
		}
		d.ask("interrupt", object{"cancel_queued": true})
		d.result(id)
		d.rewind(id, id)
		silence := uuid()
		d.send(user(silence, text("[[hang]]")))
		d.until("the request", func(l object) bool { return l["subtype"] == "status" })
		d.ask("interrupt", object{"cancel_queued": true})
		d.result(silence)
		d.rewind(silence, silence)
		queued := uuid()
		d.send(user(queued, text("x")), control("i", "interrupt", object{"cancel_queued": true}))
		d.response("i")
		d.rewind(queued, queued)
	}},
	{"a bad line", func(d *driver) {
		d.ask("initialize", hooks)
		d.write("garbage\n")
		d.exit()
	}},
}

func (d *driver) lastCall() any {
	for _, l := range slices.Backward(d.read) {
		e, _ := l["event"].(object)
		if b, _ := e["content_block"].(object); b["type"] == "tool_use" {
			return b["id"]
		}
	}
	d.t.Fatal("no call")
	return nil
}

// script is what happened, line by line: deltas in a row are one, and what comes and goes as it likes is left out.
func script(lines []object) []string {
	var out []string
	for _, l := range lines {
		s := signature(l)
		switch {
		case s == "", len(out) > 0 && s == out[len(out)-1] && strings.Contains(s, "delta"):
			continue
		}
		out = append(out, s)
	}
	return out
}

func signature(l object) string {
	switch l["type"] {
	case "stream_event":
		e := l["event"].(object)
		delta, _ := e["delta"].(object)
		block, _ := e["content_block"].(object)
		return fmt.Sprint("event ", e["type"], " ", delta["type"], delta["stop_reason"], block["type"])
	case "system":
		switch l["subtype"] {
		case "init":
			return fmt.Sprint("init ", l["model"], l["tools"])
		case "status":
			return fmt.Sprint("status ", l["status"])
		}
		return ""
	case "assistant":
		m := l["message"].(object)
		return fmt.Sprintln("assistant", m["model"], l["error"], l["api_error_status"], l["aborted"], m["content"].([]any)[0].(object)["type"])
	case "user":
		return fmt.Sprint("user ", l["message"].(object)["content"].([]any)[0].(object)["type"])
	case "result":
		return fmt.Sprintln("result", l["subtype"], l["is_error"], l["terminal_reason"], l["stop_reason"], l["api_error_status"], l["num_turns"])
	case "command_lifecycle":
		return fmt.Sprint("lifecycle ", l["state"])
	case "control_request":
		r := l["request"].(object)
		m, _ := r["message"].(object)
		return fmt.Sprint("request ", r["subtype"], r["callback_id"], m["method"])
	case "control_response":
		r := l["response"].(object)
		in, _ := r["response"].(object)
		return fmt.Sprintln("response", r["subtype"], r["error"], r["error_code"], in["rewound"], in["reason"], in["prefillText"],
			in["precedingAssistantUuid"] == nil, in["model"], in["added"], in["removed"], count(in["still_queued"]), count(in["cancelled"]))
	}
	return fmt.Sprint(l["type"])
}

func count(v any) int {
	list, ok := v.([]any)
	if !ok {
		return -1
	}
	return len(list)
}

// strangeKeys is the keys per kind of line that only the fake has.
func strangeKeys(fake, real []object) map[string][]string {
	known, strange := keys(real), map[string][]string{}
	for kind, have := range keys(fake) {
		for k := range have {
			if known[kind] != nil && !known[kind][k] {
				strange[kind] = append(strange[kind], k)
			}
		}
	}
	return strange
}

func keys(lines []object) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	add := func(kind string, o object) {
		if out[kind] == nil {
			out[kind] = map[string]bool{}
		}
		for k := range maps.Keys(o) {
			out[kind][k] = true
		}
	}
	for _, l := range lines {
		add(fmt.Sprint(l["type"], " ", l["subtype"]), l)
		for _, inner := range []string{"message", "event", "response", "request"} {
			if o, ok := l[inner].(object); ok {
				add(fmt.Sprint(inner, " ", o["type"], o["role"], o["subtype"]), o)
			}
		}
	}
	return out
}

func diff(got, want []string) string {
	var out strings.Builder
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		mark := "  "
		if g != w {
			mark = "! "
		}
		fmt.Fprintf(&out, "%s%-75s | %s\n", mark, strings.TrimSpace(g), strings.TrimSpace(w))
	}
	return out.String()
}
