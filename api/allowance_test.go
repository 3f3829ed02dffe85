package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"maxrelay/api/key"
	"maxrelay/api/limit"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// endless answers with a word of a thousand tokens each millisecond until it is stopped,
// and tells then what it really used.
func endless(stopped chan<- error, begin func(*play), more func(*play, string)) script {
	return func(ctx context.Context, p *play) {
		begin(p)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			more(p, strings.Repeat("word", 1000))
			<-tick.C
		}
		stopped <- context.Cause(ctx)
		p.end(queue.End{}, chat.Outcome{Session: chat.SessionNew, Upstream: "m", Counted: true,
			Usage: chat.Usage{InputTokens: 25, OutputTokens: 43_210}, Error: &chat.Error{Code: chat.CodeCancelled, Message: "cancelled"}})
	}
}

func beginCall(p *play) {
	p.send(chat.Event{Type: chat.EventTurn, Session: chat.SessionNew})
	p.send(chat.Event{Type: chat.EventMessageStart, Model: "m", Usage: &chat.Usage{InputTokens: 25}})
	p.send(chat.Event{Type: chat.EventBlockStart, Block: &chat.Block{Type: chat.BlockToolUse, ID: "call_1", Name: "f"}})
	p.argue(`{"a":"`)
}

func (p *play) argue(json string) {
	p.send(chat.Event{Type: chat.EventBlockDelta, PartialJSON: json})
}

func TestAnAnswerEndsWithItsKeysTokens(t *testing.T) {
	const tools = `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]`
	for name, tc := range map[string]struct {
		begin func(*play)
		say   func(*play, string)
		more  string
		n     int64
	}{
		"not streaming":    {(*play).begin, (*play).text, ``, 1},
		"streaming":        {(*play).begin, (*play).text, `,"stream":true`, 1},
		"a call":           {beginCall, (*play).argue, tools, 1},
		"a streamed call":  {beginCall, (*play).argue, tools + `,"stream":true`, 1},
		"one of several":   {(*play).begin, (*play).text, `,"n":2`, 2},
		"several streams":  {(*play).begin, (*play).text, `,"n":2,"stream":true`, 2},
		"above its bound":  {(*play).begin, (*play).text, `,"max_tokens":60000`, 1},
		"of a JSON object": {func(p *play) { p.begin(); p.text(`{"a":"`) }, (*play).text, `,"response_format":{"type":"json_object"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := make(chan error, 2)
			n := openNode(t, Config{}, queue.OwnerConfig{}, endless(stopped, tc.begin, tc.say))
			n.daily(50_000)
			finish, size := ending(t, n.post(ask("hi", tc.more)))
			if finish != "length" {
				t.Errorf("finish reason %q", finish)
			}
			if size < 100_000 || size > 300_000 { // 50000 tokens of 4 bytes, and what was under way
				t.Errorf("the answer was cut after %d bytes", size)
			}
			for range tc.n {
				if cause := <-stopped; cause != queue.ErrCancelled {
					t.Errorf("the worker was stopped by %v", cause)
				}
			}
			if e := n.usage(1)[0]; e.Status != http.StatusOK || e.ErrorCode != "" || e.Estimated || int64(e.Usage.OutputTokens) != tc.n*43_210 {
				t.Errorf("recorded %+v", e)
			}
			n.mustHaveUsed(tc.n * 43_235)
			resp := n.post(ask(strings.Repeat("x", 40_000), ``))
			if _, code, _ := errorCode(t, read(t, resp)); code != "insufficient_quota" {
				t.Errorf("%d %s", resp.StatusCode, code)
			}
		})
	}
}

// ending is an answer's finish reason, and how many bytes the model said.
func ending(t *testing.T, resp *http.Response) (finish string, size int) {
	t.Helper()
	parts := []string{}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		parts, _ = chunks(t, resp.Body)
		if parts[len(parts)-1] != "[DONE]" {
			t.Errorf("the stream ends with %s", parts[len(parts)-1])
		}
		parts = parts[:len(parts)-1]
	} else {
		parts = append(parts, read(t, resp))
	}
	for _, part := range parts {
		var c struct {
			Choices []struct {
				Delta, Message words
				FinishReason   string `json:"finish_reason"`
			}
		}
		must(t, json.Unmarshal([]byte(part), &c))
		for _, choice := range c.Choices {
			if choice.FinishReason != "" {
				finish = choice.FinishReason
			}
			size += choice.Delta.size() + choice.Message.size()
		}
	}
	return finish, size
}

// words are what an answer, or a piece of it, holds of the model's own words.
type words struct {
	Content   string
	ToolCalls []struct {
		Function struct{ Arguments string }
	} `json:"tool_calls"`
}

func (s words) size() int {
	n := len(s.Content)
	for _, c := range s.ToolCalls {
		n += len(c.Function.Arguments)
	}
	return n
}

// said makes an answer of so many tokens, by their bytes, in pieces.
func pieces(tokens int) script {
	return func(_ context.Context, p *play) {
		p.begin()
		for range tokens / 1000 {
			p.text(strings.Repeat("word", 1000))
		}
		p.send(chat.Event{Type: chat.EventMessageDelta, StopReason: chat.StopEndTurn, Usage: &chat.Usage{OutputTokens: tokens}})
		p.end(queue.End{OK: true}, chat.Outcome{Session: chat.SessionNew, Upstream: "m", Counted: true, Usage: chat.Usage{InputTokens: 5, OutputTokens: tokens}})
	}
}

func TestAnAnswerGrowsAsLongAsThereAreTokens(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, pieces(60_000))
	n.daily(100_000)
	if finish, _ := ending(t, n.post(ask("hi", ``))); finish != "stop" {
		t.Errorf("finish reason %q", finish)
	}
	n.mustHaveUsed(60_005)
}

// Bytes are a coarse count: an answer whose bound is reserved in full is never cut.
func TestAnAnswerWithinItsBoundIsNotCut(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		p.begin()
		p.text(strings.Repeat("longish ", 4000)) // 8000 tokens by its bytes
		p.finish()
	})
	n.daily(5020)
	if finish, _ := ending(t, n.post(ask("hi", `,"max_tokens":5000`))); finish != "stop" {
		t.Errorf("finish reason %q", finish)
	}
}

func TestAnAnswerMayGoOnWithoutTheBroker(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	n.Server.limits = openLimits(t, n.nc, nil, 50*time.Millisecond)
	n.daily(20_000)
	ticket, err := n.limits.Admit(testContext(t), limit.Ask{Key: key.Local, Request: "req_1", Limits: n.limits.LimitsOf(key.Identity{ID: key.Local}), Input: 10})
	must(t, err)
	a := newAllowance(ticket, 10, 0)
	n.nc.Close()
	for range 10 {
		if !a.spend(cancelled(), 10_000) {
			t.Error("it was cut")
		}
	}
}
