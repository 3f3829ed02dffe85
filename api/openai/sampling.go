package openai

import (
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
	for _, s := range d.stops() {
		p.AddStop(s)
	}
	p.Effort, p.NoThinking = d.effort()
	// What the client asked for by name wins over thinking, which it did not.
	p.NoThinking = p.NoThinking || p.ForbidThinking(choice)
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

// stops returns the stop sequences.
func (d *decoder) stops() []string {
	v, ok := d.Members["stop"]
	switch {
	case !ok:
		return nil
	case v.Is('"'):
		return d.Words([]field.Value{v}, maxStop)
	case !v.Is('['):
		d.Fail(v.Wrong("a string or an array of strings"))
	}
	return d.Words(d.AtMost(v, maxStops, "stop sequences"), maxStop)
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
