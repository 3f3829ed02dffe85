package claudetest_test

import (
	"fmt"
	"strings"

	"maxrelay/session/anthropictest"
)

func requestPoints() []point {
	return []point{
		{"a turn is one request, and nothing else is asked", "POST /v1/messages?beta=true", func(l *lab) string {
			l.clean()
			l.say(text("hello"))
			var out []string
			for _, r := range l.api.Requests() {
				out = append(out, r.Method+" "+r.Path)
			}
			return strings.Join(out, ", ")
		}},
		{"no tools are offered", "tools []", func(l *lab) string {
			l.clean()
			l.say(text("hello"))
			return "tools " + l.field("tools")
		}},
		{"the vendor's attribution and identity stand first", "x-anthropic-billing-header, You are a Claude agent, " + labSystem, func(l *lab) string {
			l.clean()
			l.say(text("hello"))
			return l.systemHeads()
		}},
		{"one block about the environment is added, with the working folder", `user: "hello" | system: environment with the folder`, func(l *lab) string {
			l.clean()
			l.say(text("hello"))
			return l.additions()
		}},
		{"an older model gets it as reminders in front of the text", `user: reminder, reminder, reminder, "hello"`, func(l *lab) string {
			l.clean()
			l.ask("set_model", object{"model": "claude-haiku-4-5"})
			l.say(text("hello"))
			seen := l.additions()
			l.cut(0)
			l.ask("set_model", object{"model": "sonnet"})
			return seen
		}},
		{"the cache is asked for at identity, system prompt and last block", "system.1, system.2, messages.1.0", func(l *lab) string {
			l.clean()
			l.say(text("hello"))
			return cachePlaces(l.newest())
		}},
		{"usage is told as the model told it", "input 11, output 3, read 7, written 5", func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("a", "b", "c").WithUsage(anthropictest.Usage{
				InputTokens: 11, OutputTokens: 3, CacheReadInputTokens: 7, CacheCreationInputTokens: 5}))
			r := l.say(text("hello"))
			u, _ := r["usage"].(object)
			return fmt.Sprintf("input %v, output %v, read %v, written %v", u["input_tokens"], u["output_tokens"], u["cache_read_input_tokens"], u["cache_creation_input_tokens"])
		}},
		{"answer and events come in order", "message_start, content_block_start, content_block_delta, content_block_stop, message_delta, message_stop, result", func(l *lab) string {
			l.clean()
			from := len(l.read)
			l.say(text("[[tokens 3]]"))
			return events(l.read[from:])
		}},
	}
}

// systemHeads is how each system block begins.
func (l *lab) systemHeads() string {
	var out []string
	for _, b := range l.newest().Body.System {
		head, _, _ := strings.Cut(b.Text, ":")
		head, _, _ = strings.Cut(head, ",")
		out = append(out, head)
	}
	return strings.Join(out, ", ")
}

// additions is the messages of the newest request with what the CLI put into them.
func (l *lab) additions() string {
	var out []string
	for _, m := range l.newest().Body.Messages {
		var blocks []string
		for _, b := range m.Content {
			switch head, _, _ := strings.Cut(b.Text, "\n"); {
			case head == "# Environment" && strings.Contains(b.Text, l.cwd):
				blocks = append(blocks, "environment with the folder")
			case head == "<system-reminder>":
				blocks = append(blocks, "reminder")
			default:
				blocks = append(blocks, fmt.Sprintf("%q", head))
			}
		}
		out = append(out, m.Role+": "+strings.Join(blocks, ", "))
	}
	return strings.Join(out, " | ")
}

// cachePlaces is where a request asks for the cache: system.<block>, messages.<message>.<block>.
func cachePlaces(r anthropictest.Request) string {
	var out []string
	add := func(place string, content anthropictest.Content) {
		for i, b := range content {
			if b.CacheControl != nil {
				out = append(out, fmt.Sprintf("%s.%d", place, i))
			}
		}
	}
	add("system", r.Body.System)
	for i, m := range r.Body.Messages {
		add(fmt.Sprintf("messages.%d", i), m.Content)
	}
	if len(out) == 0 {
		return "nowhere"
	}
	return strings.Join(out, ", ")
}

// events is the kinds of the events and of the result, those in a row once.
func events(lines []object) string {
	var out []string
	for _, l := range lines {
		kind, _ := l["type"].(string)
		if e, ok := l["event"].(object); ok {
			kind, _ = e["type"].(string)
		} else if kind != "result" {
			continue
		}
		if len(out) == 0 || out[len(out)-1] != kind {
			out = append(out, kind)
		}
	}
	return strings.Join(out, ", ")
}
