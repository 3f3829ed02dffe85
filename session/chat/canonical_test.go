package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"maxrelay/session/chat"
)

func text(s string) chat.Block { return chat.Block{Type: chat.BlockText, Text: s} }

func call(id, input string) chat.Block {
	return chat.Block{Type: chat.BlockToolUse, ID: id, Name: "f", Input: json.RawMessage(input)}
}

func outcome(id string) chat.Block {
	return chat.Block{Type: chat.BlockToolResult, ToolUseID: id, Content: []chat.Block{text("r")}}
}

func image(data string) chat.Block {
	return chat.Block{Type: chat.BlockImage, Source: &chat.Source{Type: "base64", MediaType: "image/png", Data: data}}
}

func user(b ...chat.Block) chat.Message { return chat.Message{Role: chat.RoleUser, Content: b} }
func assistant(b ...chat.Block) chat.Message {
	return chat.Message{Role: chat.RoleAssistant, Content: b}
}
func system(s string) chat.Message { return chat.Text(chat.RoleSystem, s) }

func TestCanonicalForm(t *testing.T) {
	for _, tc := range []struct {
		name     string
		in, want []chat.Message
	}{
		{"one question", []chat.Message{user(text("a"))}, []chat.Message{user(text("a"))}},
		{"neighbouring users become one message of several blocks",
			[]chat.Message{user(text("a")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
		{"user text is kept to the byte", []chat.Message{user(text(" a\n "))}, []chat.Message{user(text(" a\n "))}},
		{"blank parts beside others go", []chat.Message{user(text(""), text("a"), text(" \n"))}, []chat.Message{user(text("a"))}},
		{"an assistant's texts are one, calls after it",
			[]chat.Message{user(text("a")), assistant(text("x"), call("1", ` {"b":1, "a":2.0}`), text("y")), user(outcome("1"))},
			[]chat.Message{user(text("a")), assistant(text("xy"), call("1", `{"a":2,"b":1}`)), user(outcome("1"))}},
		{"neighbouring assistants are joined by a blank line",
			[]chat.Message{user(text("a")), assistant(text("x")), assistant(text("y")), user(text("b"))},
			[]chat.Message{user(text("a")), assistant(text("x\n\ny")), user(text("b"))}},
		{"a blank assistant message vanishes",
			[]chat.Message{user(text("a")), assistant(text(" ")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
		{"the CLI's word for nothing vanishes too",
			[]chat.Message{user(text("a")), assistant(text("(no content)")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
		{"calls of neighbouring assistants stand behind their texts",
			[]chat.Message{user(text("a")), assistant(text("x"), call("1", "{}")), assistant(text("y"), call("2", "{}")), user(outcome("1"), outcome("2"))},
			[]chat.Message{user(text("a")), assistant(text("x\n\ny"), call("1", "{}"), call("2", "{}")), user(outcome("1"), outcome("2"))}},
		{"reasoning is left out",
			[]chat.Message{user(text("a")), assistant(chat.Block{Type: chat.BlockThinking, Thinking: "hm"}, text("x")), user(text("b"))},
			[]chat.Message{user(text("a")), assistant(text("x")), user(text("b"))}},
		{"a system message in between is a user's, wrapped",
			[]chat.Message{user(text("a")), assistant(text("x")), system("be kind"), user(text("b"))},
			[]chat.Message{user(text("a")), assistant(text("x")), user(text("<system_message>\nbe kind\n</system_message>"), text("b"))}},
		{"results of several messages meet their calls",
			[]chat.Message{user(text("a")), assistant(call("1", "{}"), call("2", "")), user(outcome("2")), user(outcome("1"))},
			[]chat.Message{user(text("a")), assistant(call("1", "{}"), call("2", "{}")), user(outcome("1"), outcome("2"))}},
		{"results come before what else a user says",
			[]chat.Message{user(text("a")), assistant(call("1", "{}"), call("2", "{}")), user(text("b"), outcome("2"), text("c")), system("d"), user(outcome("1"), text("e"))},
			[]chat.Message{user(text("a")), assistant(call("1", "{}"), call("2", "{}")), user(outcome("1"), outcome("2"), text("b"), text("c"), text("<system_message>\nd\n</system_message>"), text("e"))}},
		{"blank texts of a result go",
			[]chat.Message{user(text("a")), assistant(call("1", "{}")), user(chat.Block{Type: chat.BlockToolResult, ToolUseID: "1", Content: []chat.Block{text(" "), text("b "), text("")}})},
			[]chat.Message{user(text("a")), assistant(call("1", "{}")), user(chat.Block{Type: chat.BlockToolResult, ToolUseID: "1", Content: []chat.Block{text("b ")}})}},
		{"a result may be empty",
			[]chat.Message{user(text("a")), assistant(call("1", "{}")), user(chat.Block{Type: chat.BlockToolResult, ToolUseID: "1", Content: []chat.Block{text("")}})},
			[]chat.Message{user(text("a")), assistant(call("1", "{}")), user(chat.Block{Type: chat.BlockToolResult, ToolUseID: "1"})}},
		{"a picture needs no words", []chat.Message{user(text(" "), image("x"))}, []chat.Message{user(image("x"))}},
		{"an opening by the assistant answers a user's",
			[]chat.Message{assistant(text("hi")), user(text("a"))},
			[]chat.Message{user(text("<conversation_start/>")), assistant(text("hi")), user(text("a"))}},
		{"a byte order mark says nothing",
			[]chat.Message{user(text("\ufeff"), text("a")), assistant(text("\ufeff\n")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
		{"the CLI's word for a text that was left out",
			[]chat.Message{user(text("a")), assistant(text("[Empty text removed]")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
		{"white space around the CLI's word for nothing does not make it something",
			[]chat.Message{user(text("a")), assistant(text(" (no content)\n")), user(text("b"))}, []chat.Message{user(text("a"), text("b"))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := chat.Canonical(tc.in)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v (%v)\nwant %+v", got, err, tc.want)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		in    []chat.Message
		param string
	}{
		{"nothing", nil, "messages"},
		{"a question without words", []chat.Message{user(text("a")), assistant(text("x")), user(text(" "))}, "messages[2].content"},
		{"an unknown role", []chat.Message{{Role: "robot"}}, "messages[0].role"},
		{"the assistant last", []chat.Message{user(text("a")), assistant(text("x"))}, "messages[1]"},
		{"a call without result", []chat.Message{user(text("a")), assistant(call("1", "{}")), user(text("b"))}, "messages[2]"},
		{"a result without call", []chat.Message{user(text("a")), assistant(text("x")), user(outcome("1"))}, "messages[2].tool_call_id"},
		{"a result without call behind a question", []chat.Message{user(text("a")), user(outcome("1"))}, "messages[1].tool_call_id"},
		{"a second result", []chat.Message{user(text("a")), assistant(call("1", "{}")), user(outcome("1")), user(outcome("1"))}, "messages[3].tool_call_id"},
		{"two calls of one id", []chat.Message{user(text("a")), assistant(call("1", "{}"), call("1", "{}")), user(outcome("1"))}, "messages[1].tool_calls"},
		{"arguments that are no JSON", []chat.Message{user(text("a")), assistant(call("1", "{")), user(outcome("1"))}, "messages[1].tool_calls"},
		{"arguments that are no object", []chat.Message{user(text("a")), assistant(call("1", "[]")), user(outcome("1"))}, "messages[1].tool_calls"},
		{"an image of the assistant's", []chat.Message{user(text("a")), assistant(chat.Block{Type: chat.BlockImage}), user(text("b"))}, "messages[1].content"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := chat.Canonical(tc.in)
			if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeInvalid || e.Param != tc.param {
				t.Errorf("got %v, want invalid_request at %s", err, tc.param)
			}
		})
	}
}

// A body holds millions of short messages. Joining them one by one took hours.
func TestALongRunOfNeighboursIsJoinedInOneGo(t *testing.T) {
	messages := []chat.Message{user(text("q"))}
	for range 200_000 {
		messages = append(messages, assistant(text("some thirty bytes of an answer")))
	}
	got, err := chat.Canonical(append(messages, user(text("q"))))
	if want := 200_000*32 - 2; err != nil || len(got) != 3 || len(got[1].Content[0].Text) != want {
		t.Errorf("%d messages (%v)", len(got), err)
	}
}

func TestCanonicalJSON(t *testing.T) {
	for in, want := range map[string]string{
		``: `{}`, `{ }`: `{}`, `{"b":1,"a":[1.0,1e2,-0,"<&>"]}`: `{"a":[1,100,0,"<&>"],"b":1}`,
		`9007199254740993`: `9007199254740992`, `1e21`: `1e+21`, `0.1`: `0.1`, `null`: `null`,
	} {
		if got, err := chat.CanonicalJSON([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s became %s (%v), want %s", in, got, err, want)
		}
	}
	for _, in := range []string{`{`, `{} {}`, `1e999`, `nope`} {
		if got, err := chat.CanonicalJSON([]byte(in)); err == nil {
			t.Errorf("%s became %s, want an error", in, got)
		}
	}
}

// Texts are drawn from few, so that near misses are likely.
var words = rapid.SampledFrom([]string{"a", "b", "ab", "a ", " a", "", " ", "a\n", "user", "text"})

func drawText(t *rapid.T) chat.Block { return text(words.Draw(t, "text")) }

func drawMedia(t *rapid.T) chat.Block {
	src := &chat.Source{
		Type:      rapid.SampledFrom([]string{"base64", "url", "text"}).Draw(t, "type"),
		MediaType: rapid.SampledFrom([]string{"", "image/png"}).Draw(t, "media type"),
		Data:      words.Draw(t, "data"), URL: words.Draw(t, "url"), At: words.Draw(t, "at"),
	}
	if rapid.Bool().Draw(t, "document") {
		return chat.Block{Type: chat.BlockDocument, Title: words.Draw(t, "title"), Context: words.Draw(t, "context"), Source: src}
	}
	return chat.Block{Type: chat.BlockImage, Source: src}
}

// drawBlocks draws what a message may hold, its calls and results aside.
func drawBlocks(t *rapid.T, role chat.Role) (blocks []chat.Block) {
	for range rapid.IntRange(1, 3).Draw(t, "blocks") {
		switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
		case kind > 0:
			blocks = append(blocks, drawText(t))
		case role == chat.RoleUser:
			blocks = append(blocks, drawMedia(t))
		default:
			blocks = append(blocks, chat.Block{Type: chat.BlockThinking, Thinking: words.Draw(t, "thinking")})
		}
	}
	return blocks
}

// drawLoop draws an assistant's calls and their results, in any order and any number of
// messages, with questions between them.
func drawLoop(t *rapid.T, serial int) []chat.Message {
	calls := drawBlocks(t, chat.RoleAssistant)
	var results []chat.Message
	for i := range rapid.IntRange(1, 3).Draw(t, "calls") {
		id := fmt.Sprintf("c%d_%d", serial, i)
		calls = append(calls, call(id, rapid.SampledFrom([]string{`{}`, `{"a":1,"b":[2.0]}`, ` {"b":[2], "a":1e0}`}).Draw(t, "input")))
		results = append(results, user(chat.Block{Type: chat.BlockToolResult, ToolUseID: id, IsError: rapid.Bool().Draw(t, "error"),
			Content: []chat.Block{drawText(t), drawMedia(t)}}))
	}
	if rapid.Bool().Draw(t, "question") {
		results = append(results, user(drawText(t), text("x")))
	}
	results = rapid.Permutation(results).Draw(t, "order")
	return append([]chat.Message{assistant(calls...)}, results...)
}

func drawMessages(t *rapid.T) (out []chat.Message) {
	for i := range rapid.IntRange(1, 6).Draw(t, "messages") {
		if rapid.IntRange(0, 3).Draw(t, "loop") == 0 {
			out = append(out, drawLoop(t, i)...)
			continue
		}
		role := rapid.SampledFrom([]chat.Role{chat.RoleUser, chat.RoleAssistant}).Draw(t, "role")
		out = append(out, chat.Message{Role: role, Content: drawBlocks(t, role)})
	}
	return append(out, chat.Text(chat.RoleUser, "last"))
}

// canonical draws conversations in their canonical form.
var canonical = rapid.Custom(func(t *rapid.T) []chat.Message {
	m, _ := chat.Canonical(drawMessages(t)) // nil for what is no conversation
	return m
}).Filter(func(m []chat.Message) bool { return m != nil })

func drawCanonical(t *rapid.T) []chat.Message { return canonical.Draw(t, "conversation") }

func TestCanonicalIsIdempotentAndAlternates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := drawCanonical(t)
		twice, err := chat.Canonical(once)
		if err != nil || !reflect.DeepEqual(once, twice) {
			t.Fatalf("%+v became %+v (%v)", once, twice, err)
		}
		for i := 1; i < len(once); i++ {
			if once[i].Role == once[i-1].Role {
				t.Fatalf("messages %d and %d are both the %s's", i-1, i, once[i].Role)
			}
		}
	})
}

// normal is a second, slower definition of "the same conversation" to hold the
// fingerprints against.
func normal(m []chat.Message) string {
	out := make([]chat.Message, len(m))
	for i := range m {
		out[i] = chat.Message{Role: m[i].Role, Content: append([]chat.Block(nil), m[i].Content...)}
		if m[i].Role == chat.RoleAssistant {
			for j := range out[i].Content {
				out[i].Content[j].Text = strings.TrimRight(out[i].Content[j].Text, " \t\r\n")
			}
		}
		nowhere(out[i].Content)
	}
	b, _ := json.Marshal(out)
	return string(b)
}

// nowhere takes the places of the request out of blocks that are no longer shared.
func nowhere(blocks []chat.Block) {
	for i := range blocks {
		if blocks[i].Source != nil {
			src := *blocks[i].Source
			src.At = ""
			blocks[i].Source = &src
		}
		blocks[i].Content = append([]chat.Block(nil), blocks[i].Content...)
		nowhere(blocks[i].Content)
	}
}

func TestFingerprintsTellConversationsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawCanonical(t), drawCanonical(t)
		ca, cb := chat.Chain(&chat.Request{Messages: a}), chat.Chain(&chat.Request{Messages: b})
		for n := range min(len(a), len(b)) + 1 {
			if same := normal(a[:n]) == normal(b[:n]); same != (ca[n] == cb[n]) {
				t.Fatalf("first %d messages: same %v, fingerprints equal %v\n%s\n%s", n, same, !same, normal(a[:n]), normal(b[:n]))
			}
		}
	})
}

func TestChainGrowsByNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawCanonical(t)
		whole := chat.Chain(&chat.Request{Messages: m})
		if part := chat.Chain(&chat.Request{Messages: m[:len(m)-1]}); !reflect.DeepEqual(part, whole[:len(m)]) {
			t.Fatal("a prefix's chain is not the chain's prefix")
		}
		if whole[len(m)] != whole[len(m)-1].Next(m[len(m)-1]) {
			t.Fatal("the chain does not continue by Next")
		}
	})
}

func TestHowAClientSplitsItsMessagesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var split []chat.Message
		whole := drawCanonical(t)
		for _, m := range whole {
			if m.Role == chat.RoleUser {
				for _, b := range m.Content {
					split = append(split, user(b))
				}
				continue
			}
			split = append(split, m)
		}
		joined, err := chat.Canonical(split)
		if err != nil || !reflect.DeepEqual(joined, whole) {
			t.Fatalf("%+v became %+v (%v)", split, joined, err)
		}
	})
}

func TestIdentityIsEveryPartOfIt(t *testing.T) {
	parts := []string{"", "a", "b", "ab"}
	seen := make(map[chat.Fingerprint]string)
	for n := range 4 * 4 * 4 * 4 * 4 {
		p := func(i int) string { return parts[n>>(2*i)&3] }
		who := fmt.Sprintf("%q %q %q %q %q", p(0), p(1), p(2), p(3), p(4))
		f := chat.Origin(chat.Tenant{Key: p(0), User: p(1), Pool: p(2)}, p(3), p(4))
		if other, there := seen[f]; there {
			t.Fatalf("%s and %s have one fingerprint", who, other)
		}
		seen[f] = who
	}
}

func FuzzRequestCodec(f *testing.F) {
	good, _ := chat.EncodeRequest(&chat.Request{Model: "m", Messages: []chat.Message{user(text("a\u2028<b>"))}})
	f.Add(good)
	f.Add([]byte(`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1","input":{"a":1e3}}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := chat.DecodeRequest(body)
		if err != nil {
			return
		}
		m, err := chat.Canonical(r.Messages)
		if err != nil {
			return
		}
		r.Messages = m
		again, err := chat.EncodeRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := chat.DecodeRequest(again)
		if err != nil || !reflect.DeepEqual(chat.Chain(back), chat.Chain(r)) {
			t.Fatalf("a canonical request does not survive its encoding: %v", err)
		}
	})
}

func TestEventAndOutcomeSurviveTheirEncoding(t *testing.T) {
	e := chat.Event{Type: chat.EventBlockDelta, Index: 2, Text: "<&>\u2028 \x00"}
	b, err := chat.EncodeEvent(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := chat.DecodeEvent(b); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("event %+v became %+v (%v)", e, got, err)
	}
	o := chat.Outcome{Session: chat.SessionWarm, Usage: chat.Usage{InputTokens: 1, ThinkingTokens: 2}, Counted: true,
		Error: &chat.Error{Code: chat.CodeUpstream, RetryAfter: 3}}
	if b, err = chat.EncodeOutcome(o); err != nil {
		t.Fatal(err)
	}
	if got, err := chat.DecodeOutcome(b); err != nil || !reflect.DeepEqual(got, o) {
		t.Errorf("outcome %+v became %+v (%v)", o, got, err)
	}
}

func TestDecodeErrorsDoNotQuoteTheBody(t *testing.T) {
	_, err := chat.DecodeRequest([]byte(`{"system":"secret`))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestTheFirstMessageIsTheUsers(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for want, messages := range map[string][]chat.Message{
		"a":                              {user(text("a")), assistant(text("b")), user(text("c"))},
		"ab":                             {user(text("a"), text("b"))},
		"d":                              {user(text("<conversation_start/>")), assistant(text("hi")), user(text("d"))},
		"":                               nil,
		strings.Repeat("x", 1<<10) + "y": {user(text(long), text("y"))},
	} {
		r := chat.Request{Messages: messages}
		if got := r.FirstMessage(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
