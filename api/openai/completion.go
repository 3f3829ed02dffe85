package openai

import "maxrelay/session/chat"

// Head is what an answer and all chunks of a stream have in common.
type Head struct {
	ID          string // chatcmpl-…
	Created     int64  // seconds since 1970
	Model       string // as the client asked for it
	Fingerprint string // system_fingerprint
}

// Completion is the response to a request that does not stream.
type Completion struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Created           int64    `json:"created"`
	Model             string   `json:"model"`
	Choices           []Choice `json:"choices"`
	Usage             Usage    `json:"usage"`
	SystemFingerprint string   `json:"system_fingerprint"`
}

// NewCompletion returns the response of all answers to a request.
func NewCompletion(h Head, choices []Choice, u Usage) Completion {
	return Completion{
		ID: h.ID, Object: "chat.completion", Created: h.Created, Model: h.Model, SystemFingerprint: h.Fingerprint,
		Choices: choices, Usage: u,
	}
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

// UsageOf translates the upstream's counts of the answers to one request. The prompt
// counts once, as the first answer that has its counts had it, and what the answers say
// is summed.
func UsageOf(answers ...chat.Usage) Usage {
	var u Usage
	for _, a := range answers {
		if u.PromptTokens == 0 {
			u.PromptTokens = a.PromptTokens()
			u.PromptTokensDetails.CachedTokens = a.CacheReadTokens
		}
		u.CompletionTokens += a.OutputTokens
		u.CompletionTokensDetails.ReasoningTokens += a.ThinkingTokens
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}
