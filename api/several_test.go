package api

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

func TestSeveralAnswersAreMadeSideBySide(t *testing.T) {
	var asked atomic.Int32
	var together sync.WaitGroup
	together.Add(3)
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		asked.Add(1)
		p.begin()
		together.Done()
		together.Wait() // none waits for another to end
		p.text("one of three")
		p.finish()
	})
	var c struct {
		Choices []struct {
			Index   int
			Message struct{ Content string }
		}
		Usage struct {
			PromptTokens     int `json:"prompt_tokens"`
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	resp := n.post(ask("hi", `,"n":3`))
	if body := read(t, resp); json.Unmarshal([]byte(body), &c) != nil || resp.StatusCode != 200 || len(c.Choices) != 3 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for i, choice := range c.Choices {
		if choice.Index != i || choice.Message.Content != "one of three" {
			t.Errorf("choice %d: %+v", i, choice)
		}
	}
	if c.Usage.PromptTokens != 25 || c.Usage.CompletionTokens != 21 {
		t.Errorf("the client is told %+v: the prompt counts once", c.Usage)
	}
	if e := n.usage(1)[0]; e.Usage != (chat.Usage{InputTokens: 15, CacheReadTokens: 60, OutputTokens: 21}) || e.Attempts != 3 {
		t.Errorf("recorded %+v in %d attempts: all count", e.Usage, e.Attempts)
	}
	if asked.Load() != 3 {
		t.Errorf("the model was asked %d times", asked.Load())
	}
}

// The headers go out with the first text, whichever answer's it is.
func TestHeadersOfAStreamWhoseFirstAnswerIsLate(t *testing.T) {
	var asked atomic.Int32
	shown := make(chan struct{})
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		if asked.Add(1) == 1 {
			select {
			case <-shown:
			case <-ctx.Done():
			}
		}
		p.begin()
		p.text("text")
		p.finish()
	})
	resp := n.post(ask("hi", `,"n":2,"stream":true`))
	close(shown)
	if h := resp.Header; h.Get("X-Maxrelay-Session") == "" || h.Get("X-Maxrelay-Worker") == "" || h.Get("X-Maxrelay-Queue-Ms") == "" {
		t.Errorf("headers %v", h)
	}
	if data, _ := chunks(t, resp.Body); data[len(data)-1] != "[DONE]" {
		t.Errorf("the stream ends with %s", data[len(data)-1])
	}
}

func TestSeveralAnswersInOneStream(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	data, _ := chunks(t, n.post(ask("one two three", `,"n":2,"stream":true,"stream_options":{"include_usage":true}`)).Body)
	text, reasons, roles := make([]string, 2), make([]string, 2), make([]int, 2)
	for _, d := range data[:len(data)-2] {
		var chunk struct {
			Choices []struct {
				Index int
				Delta struct{ Role, Content string }
				Why   string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(d), &chunk); err != nil || len(chunk.Choices) != 1 {
			t.Fatalf("%s: %v", d, err)
		}
		choice := chunk.Choices[0]
		text[choice.Index] += choice.Delta.Content
		if choice.Delta.Role != "" {
			roles[choice.Index]++
		}
		if choice.Why != "" {
			reasons[choice.Index] += choice.Why
		}
	}
	for i := range 2 {
		if text[i] != "one two three" || reasons[i] != "stop" || roles[i] != 1 {
			t.Errorf("answer %d: %q, %q, %d roles", i, text[i], reasons[i], roles[i])
		}
	}
	var last struct {
		Choices []json.RawMessage
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(data[len(data)-2]), &last); err != nil || len(last.Choices) != 0 || last.Usage.CompletionTokens != 14 || data[len(data)-1] != "[DONE]" {
		t.Errorf("the end: %q", data[len(data)-2:])
	}
}

func TestOneFailedAnswerOfSeveralFailsTheRequest(t *testing.T) {
	for name, more := range map[string]string{"not streaming": `,"n":2`, "streaming": `,"n":2,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			stopped := make(chan error, 1)
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
				if asked.Add(1) == 1 {
					p.fail(chat.CodeRateLimited, "slow down", 0)
					return
				}
				p.begin()
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				p.fail(chat.CodeCancelled, "cancelled", 0)
			})
			resp := n.post(ask("hi", more))
			if _, code, _ := errorCode(t, read(t, resp)); code != "rate_limit_exceeded" || resp.StatusCode != 429 {
				t.Errorf("%d %s", resp.StatusCode, code)
			}
			if asked.Load() == 2 {
				if cause := <-stopped; !errors.Is(cause, queue.ErrCancelled) {
					t.Errorf("the other answer was ended by %v", cause)
				}
			}
			n.usage(1)
		})
	}
}

func TestAnAnswerOutOfFormatIsMadeOnceMore(t *testing.T) {
	for name, c := range map[string]struct {
		answers []string
		status  int
		asked   int32
	}{
		"right at once":  {[]string{`{"a":1}`}, 200, 1},
		"right at last":  {[]string{`no`, `{"a":1}`}, 200, 2},
		"wrong twice":    {[]string{`no`, `still no`}, 502, 2},
		"fences are off": {[]string{"```json\n{\"a\":1}\n```"}, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
				p.answer(c.answers[asked.Add(1)-1])
			})
			resp := n.post(ask("hi", `,"response_format":{"type":"json_object"}`))
			body := read(t, resp)
			if resp.StatusCode != c.status || asked.Load() != c.asked {
				t.Fatalf("%d %s after %d tries", resp.StatusCode, body, asked.Load())
			}
			if c.status != 200 {
				if _, code, _ := errorCode(t, body); code != "invalid_output" {
					t.Errorf("code %s", code)
				}
			}
			if e := n.usage(1)[0]; e.Usage.OutputTokens != 7*int(c.asked) || e.Attempts != int(c.asked) {
				t.Errorf("recorded %+v", e)
			}
		})
	}
}
