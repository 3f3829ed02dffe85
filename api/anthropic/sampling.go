package anthropic

import (
	"maxrelay/session/chat"
)

const (
	maxStops = 64
	maxStop  = 4 << 10 // bytes: far above any marker of an end
)

// sampling reads how the answer is to be drawn and how long it may get.
func (d *decoder) sampling(p *chat.Params) {
	p.MaxTokens = d.maxTokens()
	p.Temperature, p.TopP = d.share("temperature"), d.share("top_p")
	if p.TopP != nil && p.Temperature != nil {
		p.TopP = nil // current models refuse the pair
		d.Ignore("top_p")
	}
	p.TopK = d.topK()
	v, ok := d.Members["stop_sequences"]
	if !ok {
		return
	}
	if !v.Is('[') {
		d.Fail(v.Wrong("an array of strings"))
	}
	for _, s := range d.Words(d.AtMost(v, maxStops, "stop sequences"), maxStop) {
		p.AddStop(s)
	}
}

func (d *decoder) maxTokens() int {
	v, ok := d.Members["max_tokens"]
	if !ok {
		d.Fail(chat.Invalid("max_tokens", "is required: how many tokens the answer may have"))
		return 0
	}
	n, err := v.Whole()
	if err == nil && n < 1 {
		err = chat.Invalid(v.At, "must be at least 1: the prompt cache cannot be warmed without an answer")
	}
	d.Fail(err)
	return int(n)
}

// share returns a number between 0 and 1, nil for none.
func (d *decoder) share(name string) *float64 {
	v, ok := d.Members[name]
	if !ok {
		return nil
	}
	f, err := v.Within(0, 1)
	d.Fail(err)
	return &f
}

func (d *decoder) topK() int {
	v, ok := d.Members["top_k"]
	if !ok {
		return 0
	}
	k, err := v.Whole()
	if err == nil && k < 0 {
		err = chat.Invalid(v.At, "must be at least 0")
	}
	d.Fail(err)
	return int(k)
}
