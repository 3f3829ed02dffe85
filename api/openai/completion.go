package openai

import (
	"encoding/json"
	"maxrelay/session/chat"
)

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

// Whole gathers the answers to one request for a client that does not stream. Answers
// with different indices may be gathered at the same time.
type Whole struct {
	head    Head
	request *Request
	answers []*Answer
	choices []Choice
}

// NewWhole returns what gathers the answers to r.
func NewWhole(h Head, r *Request) *Whole {
	n := max(1, r.N)
	w := &Whole{h, r, make([]*Answer, n), make([]Choice, n)}
	for i := range w.answers {
		w.Restart(i)
	}
	return w
}

// Append takes the next event of the answer with that index, of which nothing is sent
// before the end.
func (w *Whole) Append(dst []byte, answer int, e chat.Event) []byte {
	w.answers[answer].Add(e)
	return dst
}

// Restart forgets what an answer has said.
func (w *Whole) Restart(answer int) bool {
	w.answers[answer] = NewAnswer(w.request)
	return true
}

// Finish makes a choice of an answer. The error is one of Format.Check: the model did not
// keep to the format, and another try may.
func (w *Whole) Finish(dst []byte, answer int) (_ []byte, err error) {
	w.choices[answer], err = w.answers[answer].Choice(answer)
	return dst, err
}

// End appends the response, when all answers are finished.
func (w *Whole) End(dst []byte, answers ...chat.Usage) []byte {
	body, _ := json.Marshal(Completion{ // of this package's own types
		ID: w.head.ID, Object: "chat.completion", Created: w.head.Created, Model: w.head.Model, SystemFingerprint: w.head.Fingerprint,
		Choices: w.choices, Usage: UsageOf(answers...),
	})
	return append(dst, body...)
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
