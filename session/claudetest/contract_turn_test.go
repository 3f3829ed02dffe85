package claudetest_test

import (
	"fmt"
	"slices"

	"maxrelay/session/anthropictest"
)

func stopPoints() []point {
	return []point{
		{"the result names the line it answers", "told: true, asked: true, interrupted: true", func(l *lab) string {
			l.clean()
			told := l.tell(text("u1"))
			asked := l.result(l.put(text("last"), assistant(text("a1"))))
			id := l.put(text("[[tokens 9]] [[hang after 2]]"))
			l.firstDelta()
			l.send(control("i", "interrupt", object{"cancel_queued": true}))
			interrupted := l.result(id)
			return fmt.Sprintf("told: %t, asked: %t, interrupted: %t", told["user_message_uuid"] == any(l.uuids[0]),
				asked["user_message_uuid"] == any(l.uuids[1]), interrupted["user_message_uuid"] == any(id))
		}},
		{"an interrupt in the same write takes a line back", `taken back: true, then user: "next"`, func(l *lab) string {
			l.clean()
			id := uuid()
			l.send(user(id, text("never mind")), control("i", "interrupt", object{"cancel_queued": true}))
			r, _ := l.response("i")["response"].(object)
			back, _ := r["cancelled"].([]any)
			l.say(text("next"))
			return fmt.Sprintf("taken back: %t, then %s", slices.Contains(back, any(id)), l.seen())
		}},
		{"an interrupt ends an answer, and the line can be cut out", `error_during_execution, upstream closed; then user: "one" | assistant: "A1" | user: "next"`, func(l *lab) string {
			l.clean()
			l.api.Answer(anthropictest.Say("A1"))
			l.say(text("one"))
			r := l.interrupted("[[tokens 9]] [[hang after 3]]", l.firstDelta)
			closed := l.upstream(2)
			l.cut(1)
			l.say(text("next"))
			return fmt.Sprintf("%v, upstream %s; then %s", r["subtype"], closed, l.seen())
		}},
		{"an interrupt before the first event does the same", `error_during_execution, upstream closed; then user: "next"`, func(l *lab) string {
			l.clean()
			r := l.interrupted("[[hang]]", func() {
				if _, err := l.api.Wait(l.suite.Context(), 1); err != nil {
					l.t.Fatal(err)
				}
			})
			closed := l.upstream(1)
			l.cut(0)
			l.say(text("next"))
			return fmt.Sprintf("%v, upstream %s; then %s", r["subtype"], closed, l.seen())
		}},
		{"a failing upstream is asked once", "500: 1 request, 529: 1 request, lost connection: 1 request", func(l *lab) string {
			return fmt.Sprintf("500: %s, 529: %s, lost connection: %s", l.requestsFor("[[status 500]]"), l.requestsFor("[[status 529]]"),
				l.requestsFor("[[tokens 9]] [[lost after 2]]"))
		}},
		{"a failure is named", "is_error true, status 500, api_error; message of <synthetic>, server_error", func(l *lab) string {
			l.clean()
			r := l.say(text("[[status 500]]"))
			m := l.synthetic()
			return fmt.Sprintf("is_error %v, status %v, %v; message of %v, %v", r["is_error"], r["api_error_status"], r["terminal_reason"],
				m["message"].(object)["model"], m["error"])
		}},
		{"a refusal is asked once", "1 request", func(l *lab) string { return l.requestsFor("[[refuse]]") }},
		// Whether a second request leaves before the interrupt comes is chance, and one that has left may run to its end.
		{"an answer cut by max_tokens can be ended, and the line cut out", `at most 2 requests; then user: "next"`, func(l *lab) string {
			l.clean()
			l.interrupted("[[tokens 3]] [[max_tokens]]", func() {
				l.until("max_tokens", func(line object) bool {
					e, _ := line["event"].(object)
					d, _ := e["delta"].(object)
					return d["stop_reason"] == "max_tokens"
				})
			})
			n := max(len(l.api.Requests()), 2)
			l.cut(0)
			l.say(text("next"))
			return fmt.Sprintf("at most %d requests; then %s", n, l.seen())
		}},
	}
}

// interrupted asks, interrupts when ready returns, and waits for the result.
func (l *lab) interrupted(s string, ready func()) object {
	id := l.put(text(s))
	ready()
	l.send(control(id, "interrupt", object{"cancel_queued": true}))
	return l.result(id)
}

// upstream is what became of the n-th request.
func (l *lab) upstream(n int) string {
	r, err := l.api.WaitDone(l.suite.Context(), n)
	if err == nil && !r.Aborted.IsZero() {
		return "closed"
	}
	return "not closed" + ifFailed(err)
}

func (l *lab) requestsFor(s string) string {
	l.clean()
	l.say(text(s))
	if n := len(l.api.Requests()); n != 1 {
		return fmt.Sprint(n, " requests")
	}
	return "1 request"
}

// synthetic is the latest message that the CLI made up itself.
func (l *lab) synthetic() object {
	for _, line := range slices.Backward(l.read) {
		if m, _ := line["message"].(object); line["type"] == "assistant" && m["model"] == "<synthetic>" {
			return line
		}
	}
	return object{"message": object{}}
}

func settingPoints() []point {
	return []point{
		{"set_model in an empty conversation leaves no trace", `claude-opus-5-5: user: "hello"; then claude-sonnet-5-5: user: "hello"`, func(l *lab) string {
			l.clean()
			l.say(text("of another model"))
			l.cut(0)
			l.ask("set_model", object{"model": "opus"})
			l.say(text("hello"))
			other := l.newest().Body.Model + ": " + l.seen()
			l.cut(0)
			l.ask("set_model", object{"model": "sonnet"})
			l.say(text("hello"))
			return other + "; then " + l.newest().Body.Model + ": " + l.seen()
		}},
		{"settings in the same write as a line hold for it", `max_tokens 777, stop_sequences ["END"], temperature 0.5, thinking none`, func(l *lab) string {
			l.clean()
			l.sayWith(turnSettings)
			return l.sampling()
		}},
		{"settings stay until they are set to nothing", `max_tokens 777, stop_sequences ["END"], temperature 0.5, thinking none; then max_tokens 128000, stop_sequences none, temperature none, thinking adaptive`,
			func(l *lab) string {
				l.clean()
				l.sayWith(turnSettings)
				l.say(text("hello"))
				kept := l.sampling()
				l.sayWith(noSettings)
				return kept + "; then " + l.sampling()
			}},
		{"effort is set for a turn", `{"effort":"low"}; then {"effort":"medium"}`, func(l *lab) string {
			l.clean()
			l.sayWith(object{"effortLevel": "low"})
			low := l.field("output_config")
			l.sayWith(object{"effortLevel": nil})
			return low + "; then " + l.field("output_config")
		}},
		{"the cache can be left out for a turn", "nowhere; then system.1, system.2, messages.1.0", func(l *lab) string {
			l.clean()
			l.sayWith(object{"env": object{"DISABLE_PROMPT_CACHING": "1"}})
			without := cachePlaces(l.newest())
			l.cut(0)
			l.sayWith(object{"env": object{"DISABLE_PROMPT_CACHING": ""}})
			return without + "; then " + cachePlaces(l.newest())
		}},
	}
}

var (
	turnSettings = object{"env": object{"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "777", "CLAUDE_CODE_DISABLE_THINKING": "1",
		"CLAUDE_CODE_EXTRA_BODY": `{"temperature":0.5,"stop_sequences":["END"]}`}}
	noSettings = object{"env": object{"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "", "CLAUDE_CODE_DISABLE_THINKING": "", "CLAUDE_CODE_EXTRA_BODY": ""}}
)

// sayWith changes settings and asks in one write.
func (l *lab) sayWith(settings object) {
	l.result(l.put(text("hello"), control(uuid(), "apply_flag_settings", object{"settings": settings})))
}

func (l *lab) sampling() string {
	b := l.newest().Body
	thinking := "none"
	if b.Thinking != nil {
		thinking = b.Thinking.Type
	}
	return fmt.Sprintf("max_tokens %d, stop_sequences %s, temperature %s, thinking %s", b.MaxTokens, l.field("stop_sequences"), l.field("temperature"), thinking)
}

func toolPoints() []point {
	const call = `[[tool get_weather {"city":"Oslo"}]]`
	return []point{
		{"tools of the driver's server are offered under their own names", "get_weather", func(l *lab) string {
			l.offer("t1")
			l.say(text("hello"))
			return l.tools()
		}},
		{"a deferred call ends the turn", "asked the hook, no call made, tool_deferred", func(l *lab) string {
			l.offer("t2")
			from := len(l.read)
			r := l.say(text(call))
			return fmt.Sprintf("%s, %v", hookOf(l.read[from:]), r["stop_reason"])
		}},
		{"a result of the client's goes on from there", "user: \"" + `[[tool get_weather {\"city\":\"Oslo\"}]]` + "\" | assistant: calls get_weather {\"city\":\"Oslo\"} | user: got \"cold\"", func(l *lab) string {
			l.offer("t3")
			l.say(text(call))
			id, _ := l.lastCall().(string)
			l.say([]any{toolResult(id, "cold")})
			return l.seen()
		}},
		{"tools in the request's body stand for the server's", "（full width）; then asked the hook, no call made, tool_deferred", func(l *lab) string {
			l.offer("t6")
			told := `{"tools":[{"name":"get_weather","description":"（full width）","input_schema":{"type":"object"}}]}`
			l.ask("apply_flag_settings", object{"settings": object{"env": object{"CLAUDE_CODE_EXTRA_BODY": told}}})
			from := len(l.read)
			r := l.say(text(call))
			described := l.newest().Body.Tools[0].Description
			l.ask("apply_flag_settings", object{"settings": noSettings})
			return fmt.Sprintf("%s; then %s, %v", described, hookOf(l.read[from:]), r["stop_reason"])
		}},
		{"the tools can be replaced in a conversation", "t4: get_weather; then nothing; then t5: get_weather", func(l *lab) string {
			l.offer("t4")
			l.say(text("hello"))
			first := l.tools()
			l.ask("mcp_set_servers", object{"servers": object{}})
			l.say(text("hello"))
			none := l.tools()
			l.offerMore("t5")
			l.say(text("hello"))
			return fmt.Sprintf("t4: %s; then %s; then t5: %s", first, none, l.tools())
		}},
		{"a call of a tool that was not offered runs nothing", "2 requests, nothing run", func(l *lab) string {
			l.clean()
			l.ask("mcp_set_servers", object{"servers": object{}})
			l.say(text(`[[tool Bash {"command":"touch ran-bash"}]]`))
			seen := fmt.Sprintf("%d requests, ", len(l.api.Requests()))
			if l.exists("ran-bash") {
				return seen + "it was run"
			}
			return seen + "nothing run"
		}},
	}
}

// offer makes the driver's one tool known under a new server's name, in an empty conversation.
func (l *lab) offer(server string) {
	l.clean()
	l.offerMore(server)
}

func (l *lab) offerMore(server string) {
	from := len(l.read)
	l.ask("mcp_set_servers", object{"servers": object{server: object{"type": "sdk", "name": server}}})
	listed := func(line object) bool { return signature(line) == "request mcp_message<nil>tools/list" }
	if !slices.ContainsFunc(l.read[from:], listed) {
		l.until("tools/list", listed)
	}
}

func (l *lab) tools() string {
	out := "nothing"
	for i, t := range l.newest().Body.Tools {
		if i == 0 {
			out = t.Name
			continue
		}
		out += ", " + t.Name
	}
	return out
}

// hookOf is what the CLI asked of its driver about a call.
func hookOf(lines []object) string {
	hook, made := "did not ask the hook", "no call made"
	for _, l := range lines {
		r, _ := l["request"].(object)
		m, _ := r["message"].(object)
		switch {
		case r["subtype"] == "hook_callback":
			hook = "asked the hook"
		case m["method"] == "tools/call":
			made = "made the call"
		}
	}
	return hook + ", " + made
}
