package openai

import (
	"encoding/json"
	"strings"

	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Choice is one answer.
type Choice struct {
	Index        int             `json:"index"`
	Message      Message         `json:"message"`
	LogProbs     json.RawMessage `json:"logprobs"` // always null
	FinishReason string          `json:"finish_reason"`
}

// Message is what the model said.
type Message struct {
	Role             string     `json:"role"`
	Content          *string    `json:"content"` // null for calls without words, and for a refusal
	Refusal          *string    `json:"refusal"` // null but for a refusal
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
	ReasoningContent string     `json:"reasoning_content,omitempty"`
}

// ToolCall is a call of one of the client's functions.
type ToolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"` // function
	Function Function `json:"function"`
}

// toolCall returns a call with all its arguments, in the client's schema.
func toolCall(c *tool.Call) ToolCall {
	return ToolCall{ID: c.ID, Type: "function", Function: Function{Name: c.Name, Arguments: c.Arguments()}}
}

// Function is what a call calls.
type Function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, when the answer is whole
}

// FinishReason translates why the model stopped. What OpenAI has no word for is a
// plain stop.
func FinishReason(r chat.StopReason) string {
	switch r {
	case chat.StopMaxTokens, chat.StopContextWindow, chat.StopPauseTurn:
		return "length"
	case chat.StopToolUse:
		return "tool_calls"
	case chat.StopRefusal:
		return "content_filter"
	}
	return "stop"
}

// refused is the refusal of a model that gave none in words.
const refused = "The model refused to answer."

// ending is how an answer ended.
type ending struct {
	stop  chat.StopReason
	calls int
}

func (e *ending) note(event chat.Event) {
	if event.StopReason != "" {
		e.stop = event.StopReason
	}
}

func (e ending) reason() string {
	if e.calls > 0 && FinishReason(e.stop) == "stop" {
		return "tool_calls"
	}
	return FinishReason(e.stop)
}

// formed reports whether the text must have the format asked for: an answer that was
// cut, refused, or calls for more before it goes on, need not.
func (e ending) formed() bool {
	return e.calls == 0 && e.stop != chat.StopSequence && FinishReason(e.stop) == "stop"
}

// form is what of a request its answers are written by; an answer outlives the rest.
type form struct {
	format  Format
	wrapped tool.Wrapped
}

func (r *Request) form() form { return form{r.Format, r.wrapped} }

// Answer gathers the events of a turn for a client that does not stream. An answer
// whose job moved starts over with a new one.
type Answer struct {
	form
	text, thinking strings.Builder
	calls          []tool.Call
	open           bool // the last call is being told
	end            ending
}

// NewAnswer returns one of the answers to r.
func NewAnswer(r *Request) *Answer { return &Answer{form: r.form()} }

// Add takes the turn's next event.
func (a *Answer) Add(e chat.Event) {
	switch e.Type {
	case chat.EventBlockStart:
		if a.open = tool.IsCall(e.Block); a.open {
			a.calls = append(a.calls, a.wrapped.Begin(e.Block))
			a.end.calls++
		}
	case chat.EventBlockDelta:
		a.text.WriteString(e.Text)
		a.thinking.WriteString(e.Thinking)
		if a.open {
			a.calls[len(a.calls)-1].Tell(e.PartialJSON)
		}
	case chat.EventBlockStop:
		a.open = false
	case chat.EventMessageDelta:
		a.end.note(e)
	}
}

// Choice returns the finished answer. The error is one of Format.Check: the model did
// not keep to the format, and another try may.
func (a *Answer) Choice(index int) (Choice, error) {
	text, err := a.shown()
	if err != nil {
		return Choice{}, err
	}
	m := Message{Role: "assistant", ReasoningContent: a.thinking.String()}
	for i := range a.calls {
		m.ToolCalls = append(m.ToolCalls, toolCall(&a.calls[i]))
	}
	switch {
	case a.end.stop == chat.StopRefusal:
		if text == "" {
			text = refused
		}
		m.Refusal = &text
	case text != "" || len(m.ToolCalls) == 0:
		m.Content = &text
	}
	return Choice{Index: index, Message: m, FinishReason: a.end.reason()}, nil
}

// shown returns the text in the form that was asked for.
func (a *Answer) shown() (string, error) {
	text, format := a.text.String(), a.format
	switch {
	case a.end.formed():
		return format.Check(text)
	case format.JSON && a.end.stop != chat.StopRefusal:
		var c objectCut
		return c.next(text), nil
	}
	return text, nil
}
