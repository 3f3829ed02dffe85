package openai

import (
	"encoding/json"
	"strings"

	"maxrelay/session/chat"
)

// Head is what an answer and all chunks of a stream have in common.
type Head struct {
	ID          string // chatcmpl-…
	Created     int64  // seconds since 1970
	Model       string // as the client asked for it
	Fingerprint string // system_fingerprint
}

// Completion is the answer to a request that does not stream.
type Completion struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Created           int64    `json:"created"`
	Model             string   `json:"model"`
	Choices           []Choice `json:"choices"`
	Usage             Usage    `json:"usage"`
	SystemFingerprint string   `json:"system_fingerprint"`
}

// Choice is one answer.
type Choice struct {
	Index        int             `json:"index"`
	Message      Message         `json:"message"`
	LogProbs     json.RawMessage `json:"logprobs"` // always null
	FinishReason string          `json:"finish_reason"`
}

// Message is what the model said.
type Message struct {
	Role             string  `json:"role"`
	Content          string  `json:"content"`
	Refusal          *string `json:"refusal"` // always null: a refusal is a finish reason
	ReasoningContent string  `json:"reasoning_content,omitempty"`
}

// Usage is the count of tokens in OpenAI's terms, where prompt_tokens has all input
// and its details say how much of it was cached.
type Usage struct {
	PromptTokens            int                     `json:"prompt_tokens"`
	CompletionTokens        int                     `json:"completion_tokens"`
	TotalTokens             int                     `json:"total_tokens"`
	PromptTokensDetails     PromptTokensDetails     `json:"prompt_tokens_details"`
	CompletionTokensDetails CompletionTokensDetails `json:"completion_tokens_details"`
}

// PromptTokensDetails tells the cached part of the input.
type PromptTokensDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

// CompletionTokensDetails tells the reasoning part of the output, 0 where the upstream
// does not tell it apart.
type CompletionTokensDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
}

// UsageOf translates the upstream's counts.
func UsageOf(u chat.Usage) Usage {
	return Usage{
		PromptTokens:            u.PromptTokens(),
		CompletionTokens:        u.OutputTokens,
		TotalTokens:             u.PromptTokens() + u.OutputTokens,
		PromptTokensDetails:     PromptTokensDetails{CachedTokens: u.CacheReadTokens},
		CompletionTokensDetails: CompletionTokensDetails{ReasoningTokens: u.ThinkingTokens},
	}
}

// FinishReason translates why the model stopped. What OpenAI has no word for is a
// plain stop.
func FinishReason(r chat.StopReason) string {
	switch r {
	case chat.StopMaxTokens:
		return "length"
	case chat.StopToolUse:
		return "tool_calls"
	case chat.StopRefusal:
		return "content_filter"
	}
	return "stop"
}

// Answer gathers the events of a turn for a client that does not stream. The zero
// value is ready; an answer whose job moved starts over with a new one.
type Answer struct {
	text, thinking strings.Builder
	stop           chat.StopReason
}

// Add takes the turn's next event.
func (a *Answer) Add(e chat.Event) {
	switch e.Type {
	case chat.EventBlockDelta:
		a.text.WriteString(e.Text)
		a.thinking.WriteString(e.Thinking)
	case chat.EventMessageDelta:
		if e.StopReason != "" {
			a.stop = e.StopReason
		}
	}
}

// Completion returns the finished answer.
func (a *Answer) Completion(h Head, u chat.Usage) Completion {
	return Completion{
		ID: h.ID, Object: "chat.completion", Created: h.Created, Model: h.Model, SystemFingerprint: h.Fingerprint,
		Choices: []Choice{{
			Message: Message{
				Role:             "assistant",
				Content:          a.text.String(),
				ReasoningContent: a.thinking.String(),
			},
			FinishReason: FinishReason(a.stop),
		}},
		Usage: UsageOf(u),
	}
}
