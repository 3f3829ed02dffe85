package claudetest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"strings"

	"maxrelay/session/anthropictest"
)

func historyPoints() []point {
	return []point{
		{"a warm conversation grows by what is said", `user: "one" | assistant: "A1" | user: "two"`, func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("A", "1"))
			l.say(text("one"))
			l.say(text("two"))
			return l.seen()
		}},
		{"a told line is taken without a request", "turns 0, result \"\", 0 requests", func(l *lab) string {
			l.clean()
			r := l.tell(text("u1"))
			return fmt.Sprintf("turns %v, result %q, %d requests", r["num_turns"], r["result"], len(l.api.Requests()))
		}},
		{"a told history is sent exactly", `user: "u1" | assistant: "a1" | user: "u2", "u3" | assistant: "a2" | user: "last"`, func(l *lab) string {
			l.clean()
			l.tell(text("u1"))
			l.tell([]any{object{"type": "text", "text": "u2"}, object{"type": "text", "text": "u3"}}, assistant(text("a1")))
			l.result(l.put(text("last"), assistant(text("a2"))))
			return l.seen()
		}},
		{"told calls and their results are sent exactly", `user: "u1" | assistant: "let me see", calls wa {"a":1}, calls wb {} | user: got "one", got "two" | assistant: "a2" | user: "last"`,
			func(l *lab) string {
				l.clean()
				l.tell(text("u1"))
				l.tell([]any{toolResult("toolu_1", "one"), toolResult("toolu_2", "two")}, assistant([]any{object{"type": "text", "text": "let me see"},
					object{"type": "tool_use", "id": "toolu_1", "name": "wa", "input": object{"a": 1}},
					object{"type": "tool_use", "id": "toolu_2", "name": "wb", "input": object{}}}))
				l.result(l.put(text("last"), assistant(text("a2"))))
				return l.seen()
			}},
		{"a history may be told onto one that is held", `user: "one" | assistant: "A1" | user: "u2" | assistant: "a2" | user: "last"`, func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("A1"))
			l.say(text("one"))
			l.tell(text("u2"))
			l.result(l.put(text("last"), assistant(text("a2"))))
			return l.seen()
		}},
		{"an assistant line overtakes user lines not waited for", `user: "one" | assistant: "A1" | assistant: "a2" | user: "u2\n", "last"`, func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("A1"))
			l.say(text("one"))
			l.result(l.put(text("last"), silent(uuid(), text("u2")), assistant(text("a2"))))
			seen := l.seen()
			l.drop() // a2 stands where no cut is known to reach
			return seen
		}},
		{"a picture of 1500 pixels a side passes unchanged", "unchanged, 1 block", func(l *lab) string { return l.picture(1500) }},
		{"a picture of 2500 pixels a side is rewritten and noted", "rewritten, 2 blocks", func(l *lab) string { return l.picture(2500) }},
	}
}

func toolResult(id, s string) object {
	return object{"type": "tool_result", "tool_use_id": id, "content": text(s)}
}

// picture shows a square picture of that many pixels a side.
func (l *lab) picture(side int) string {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		l.t.Fatal(err)
	}
	data := base64.StdEncoding.EncodeToString(file.Bytes())
	l.clean()
	l.say([]any{object{"type": "image", "source": object{"type": "base64", "media_type": "image/png", "data": data}}})
	r := l.newest()
	what := "rewritten"
	if strings.Contains(string(r.Raw), data) {
		what = "unchanged"
	}
	n := len(anthropictest.Conversation(r)[0].Content)
	return fmt.Sprintf("%s, %d block%s", what, n, strings.Repeat("s", min(n-1, 1)))
}

func rewindPoints() []point {
	return []point{
		{"a cut at a user line keeps what is before it", `user: "one" | assistant: "A1" | user: "other"`, func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("A1"), anthropictest.Say("A2"))
			l.say(text("one"))
			l.say(text("two"))
			l.say(text("three"))
			l.cut(1)
			l.say(text("other"))
			return l.seen()
		}},
		{"a cut at the first line leaves nothing", `before it nothing, then user: "other"; Be brief.`, func(l *lab) string {
			l.clean()
			l.say(text("one"))
			l.say(text("two"))
			r := l.cut(0)
			before := "nothing"
			if r["precedingAssistantUuid"] != nil {
				before = "something"
			}
			l.say(text("other"))
			return fmt.Sprintf("before it %s, then %s; %s", before, l.seen(), strings.Join(anthropictest.System(l.newest()), " + "))
		}},
		{"a told line can be cut at", `user: "other"`, func(l *lab) string {
			l.clean()
			l.tell(text("u1"))
			l.result(l.put(text("last"), assistant(text("a1"))))
			l.cut(0)
			l.say(text("other"))
			return l.seen()
		}},
		{"a failed line can be cut out", `user: "other"`, func(l *lab) string {
			l.clean()
			l.say(text("[[status 500]]"))
			l.cut(0)
			l.say(text("other"))
			return l.seen()
		}},
		{"a cut at a line with tool results is refused", "refused: target_splits_tool_call", func(l *lab) string {
			l.clean()
			l.tell(text("u1"))
			l.result(l.put([]any{toolResult("toolu_1", "one")}, assistant([]any{object{"type": "tool_use", "id": "toolu_1", "name": "wa", "input": object{}}})))
			r := l.rewind(l.uuids[1], l.uuids[1])
			return refusal(r)
		}},
		{"a cut that does not know the newest line is refused", "refused: stale_target", func(l *lab) string {
			l.clean()
			l.say(text("one"))
			l.say(text("two"))
			return refusal(l.rewind(l.uuids[0], ""))
		}},
		{"a cut during a turn is refused", "refused: turn_running", func(l *lab) string {
			l.clean()
			l.say(text("one"))
			id := l.put(text("[[tokens 9]] [[hang after 2]]"))
			l.firstDelta()
			seen := refusal(l.rewind(id, id))
			l.drop()
			return seen
		}},
	}
}

func refusal(r object) string {
	if r["rewound"] == true {
		return "done"
	}
	return fmt.Sprint("refused: ", r["reason"])
}
