package chat

import "encoding/json"

// Tool is a function that the client offers to the model.
type Tool struct {
	Name        string          `json:"name"` // as the upstream may see it: [a-zA-Z0-9_-]{1,128}
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"` // of the arguments; none: an object of anything
}

// Choice says whether the model may, must or must not call tools.
type Choice string

// The choices, in the Messages API's words.
const (
	ChoiceAuto Choice = "auto" // also the zero value's meaning
	ChoiceAny  Choice = "any"  // some tool must be called
	ChoiceTool Choice = "tool" // the named tool must be called
	ChoiceNone Choice = "none" // no tool may be called
)

// ToolChoice is how the model is to use the tools.
type ToolChoice struct {
	Mode       Choice `json:"mode,omitempty"`
	Name       string `json:"name,omitempty"`       // of ChoiceTool, as in Tool.Name
	Sequential bool   `json:"sequential,omitempty"` // at most one call in an answer
}

// Forced reports whether the model has to call a tool. The API takes no forced call
// together with thinking.
func (c ToolChoice) Forced() bool { return c.Mode == ChoiceAny || c.Mode == ChoiceTool }

// Params shape an answer. The zero value leaves everything to the model.
type Params struct {
	MaxTokens   int             `json:"max_tokens,omitempty"`  // 0: the model's own limit
	Temperature *float64        `json:"temperature,omitempty"` // 0 to 1
	TopP        *float64        `json:"top_p,omitempty"`       // 0 to 1; never with Temperature
	TopK        int             `json:"top_k,omitempty"`       // 0: not asked for
	Stop        []string        `json:"stop,omitempty"`        // the upstream cuts at these
	BlankStop   []string        `json:"blank_stop,omitempty"`  // stops of white space, which the upstream refuses: cut here
	Effort      string          `json:"effort,omitempty"`      // low, medium, high, xhigh or max
	NoThinking  bool            `json:"no_thinking,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"` // the answer's text is JSON of this schema
}

// ForbidThinking is the one place for the Messages API's rules on what cannot go
// together with thinking: a temperature other than 1, a top_p below 0.95, a top_k, and a
// call that is forced.
func (p Params) ForbidThinking(choice ToolChoice) bool {
	return p.Temperature != nil && *p.Temperature != 1 || p.TopP != nil && *p.TopP < 0.95 || p.TopK > 0 || choice.Forced()
}

// AddStop adds a stop sequence.
func (p *Params) AddStop(s string) {
	if Blank(s) {
		p.BlankStop = append(p.BlankStop, s)
	} else {
		p.Stop = append(p.Stop, s)
	}
}
