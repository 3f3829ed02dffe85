package openai

import (
	"strings"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// sampling reads how the answer is to be drawn, how long it may get and how much
// thought goes before it.
func (d *decoder) sampling(p *chat.Params, choice chat.ToolChoice) {
	p.MaxTokens = d.maxTokens()
	p.Temperature = d.scaled("temperature")
	if p.TopP = d.scaled("top_p"); p.TopP != nil && p.Temperature != nil {
		p.TopP = nil // current models refuse the pair
		d.Ignore("top_p")
	}
	p.Stop, p.BlankStop = d.stops()
	p.Effort, p.NoThinking = d.effort()
	p.NoThinking = p.NoThinking || forbidsThinking(p, choice)
}

// forbidsThinking is the one place for the Messages API's rules on what cannot go
// together with thinking: a temperature other than 1, a top_p below 0.95, and a call
// that is forced. What the client asked for by name wins over thinking, which it did
// not.
func forbidsThinking(p *chat.Params, choice chat.ToolChoice) bool {
	return p.Temperature != nil && *p.Temperature != 1 || p.TopP != nil && *p.TopP < 0.95 || choice.Forced()
}

// maxTokens returns the smaller of the two names' bounds, 0 for none.
func (d *decoder) maxTokens() int {
	bound := 0
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		v, ok := d.Members[name]
		if !ok {
			continue
		}
		n, err := v.Whole()
		if err == nil && n < 1 {
			err = chat.Invalid(v.At, "must be at least 1")
		}
		d.Fail(err)
		if bound == 0 || int(n) < bound {
			bound = int(n)
		}
	}
	return bound
}

// scaled returns a parameter that is 0 to 2 for clients and 0 to 1 for the models.
// What is above is cut to 1, and the client is told.
func (d *decoder) scaled(name string) *float64 {
	v, ok := d.Members[name]
	if !ok {
		return nil
	}
	f, err := v.Within(0, 2)
	d.Fail(err)
	if f > 1 {
		f = 1
		d.Ignore(name)
	}
	return &f
}

// maxStops is OpenAI's bound on the number of stop sequences.
const maxStops = 4

// maxStop is far above any marker of an end; processes keep what they were told last.
const maxStop = 4 << 10

// stops returns the stop sequences, those of white space apart: the Messages API
// refuses them.
func (d *decoder) stops() (upstream, blank []string) {
	v, ok := d.Members["stop"]
	if !ok {
		return nil, nil
	}
	if !v.Is('"') && !v.Is('[') {
		d.Fail(v.Wrong("a string or an array of strings"))
	}
	list := []field.Value{v}
	if v.Is('[') {
		list = d.AtMost(v, maxStops, "stop sequences")
	}
	for _, v := range list {
		s, err := v.Text()
		d.Fail(err)
		switch {
		case s == "":
			d.Fail(chat.Invalid(v.At, "must not be empty"))
		case len(s) > maxStop:
			d.Fail(chat.Invalid(v.At, "must be at most %d bytes long", maxStop))
		case strings.TrimSpace(s) == "":
			blank = append(blank, s)
		default:
			upstream = append(upstream, s)
		}
	}
	return upstream, blank
}

// effort translates reasoning_effort; what OpenAI calls minimal is the models' low.
func (d *decoder) effort() (level string, noThinking bool) {
	v, ok := d.Members["reasoning_effort"]
	if !ok {
		return "", false
	}
	level, err := v.Among("none", "minimal", "low", "medium", "high", "xhigh", "max")
	d.Fail(err)
	switch level {
	case "none":
		return "", true
	case "minimal":
		return "low", false
	}
	return level, false
}
