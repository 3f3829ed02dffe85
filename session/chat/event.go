package chat

// EventType names a stream event. All but EventTurn are the Messages API's own.
type EventType string

// The events of one turn, in their order. Blocks follow one another, each with its
// start, its deltas and its stop.
const (
	EventTurn         EventType = "turn"                // Session: how the process was had
	EventMessageStart EventType = "message_start"       // Model, Usage (input counts)
	EventBlockStart   EventType = "content_block_start" // Index, Block
	EventBlockDelta   EventType = "content_block_delta" // Index and one of Text, Thinking, Signature, PartialJSON
	EventBlockStop    EventType = "content_block_stop"  // Index
	EventMessageDelta EventType = "message_delta"       // StopReason, StopSequence, Usage (output count)
	EventMessageStop  EventType = "message_stop"
)

// Event is one step of an answer. The event's type says which fields count.
type Event struct {
	Type    EventType `json:"type"`
	Session Session   `json:"session,omitempty"`
	Model   string    `json:"model,omitempty"`
	Index   int       `json:"index,omitempty"`
	Block   *Block    `json:"content_block,omitempty"`

	Text        string `json:"text,omitempty"`
	Thinking    string `json:"thinking,omitempty"`
	Signature   string `json:"signature,omitempty"`
	PartialJSON string `json:"partial_json,omitempty"`

	StopReason   StopReason `json:"stop_reason,omitempty"`
	StopSequence string     `json:"stop_sequence,omitempty"`
	Usage        *Usage     `json:"usage,omitempty"`
}

// Visible reports whether the event, once shown to a client, binds the answer to the
// attempt it came from.
func (e Event) Visible() bool {
	switch e.Type {
	case EventBlockDelta:
		return e.Text != "" || e.Thinking != "" || e.PartialJSON != ""
	case EventBlockStart:
		return e.Block != nil && e.Block.Type == BlockToolUse
	}
	return false
}

// Session says how the process that answers came by the conversation.
type Session string

// The four ways, cheapest first.
const (
	SessionWarm     Session = "warm"     // same process, nothing cut, one new message
	SessionRewound  Session = "rewound"  // same process, part of what it held was kept
	SessionReplayed Session = "replayed" // a fresh process that was told the history
	SessionNew      Session = "new"      // a fresh process and no history
)

// StopReason is why the model stopped, in the Messages API's words.
type StopReason string

// The stop reasons this program acts on; others pass through.
const (
	StopEndTurn   StopReason = "end_turn"
	StopMaxTokens StopReason = "max_tokens"
	StopSequence  StopReason = "stop_sequence"
	StopToolUse   StopReason = "tool_use"
	StopRefusal   StopReason = "refusal"

	StopContextWindow StopReason = "model_context_window_exceeded"
	StopPauseTurn     StopReason = "pause_turn" // the model would go on if it were asked again
)

// Usage is what the upstream counted. Input, output, cache reads and cache writes are
// disjoint.
type Usage struct {
	InputTokens      int `json:"input_tokens,omitempty"` // cached tokens not included
	OutputTokens     int `json:"output_tokens,omitempty"`
	CacheReadTokens  int `json:"cache_read_input_tokens,omitempty"`
	CacheWriteTokens int `json:"cache_creation_input_tokens,omitempty"`
	// ThinkingTokens is the part of OutputTokens that was reasoning, where the
	// upstream tells it.
	ThinkingTokens int `json:"thinking_tokens,omitempty"`
}

// PromptTokens is all input, cached or not.
func (u Usage) PromptTokens() int {
	return u.InputTokens + u.CacheReadTokens + u.CacheWriteTokens
}

// Total is all tokens, read and written.
func (u Usage) Total() int { return u.PromptTokens() + u.OutputTokens }

// Plus returns the sum of two usages.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		InputTokens:      u.InputTokens + v.InputTokens,
		OutputTokens:     u.OutputTokens + v.OutputTokens,
		CacheReadTokens:  u.CacheReadTokens + v.CacheReadTokens,
		CacheWriteTokens: u.CacheWriteTokens + v.CacheWriteTokens,
		ThinkingTokens:   u.ThinkingTokens + v.ThinkingTokens,
	}
}

// Outcome is the end of a turn as the worker tells it to the API node.
type Outcome struct {
	Session  Session `json:"session,omitempty"`
	Upstream string  `json:"upstream,omitempty"` // the model's own name, as it answered
	Usage    Usage   `json:"usage"`
	// Counted says that Usage holds the upstream's final counts; without it the
	// turn ended before they came and Usage has what was seen until then.
	Counted bool   `json:"counted,omitempty"`
	Error   *Error `json:"error,omitempty"`
}
