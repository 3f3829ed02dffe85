package openai

import (
	"strings"

	"maxrelay/session/chat"
)

// sampling reads how the answer is to be drawn, how long it may get and how much
// thought goes before it.
func (d *decoder) sampling(p *chat.Params, choice chat.ToolChoice) {
	p.MaxTokens = d.maxTokens()
	p.Temperature = d.scaled("temperature")
	if p.TopP = d.scaled("top_p"); p.TopP != nil && p.Temperature != nil {
		p.TopP = nil // current models refuse the pair
		d.ignore("top_p")
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
		v, ok := d.members[name]
		if !ok {
			continue
		}
		n, err := v.whole()
		if err == nil && n < 1 {
			err = chat.Invalid(v.at, "must be at least 1")
		}
		d.fail(err)
		if bound == 0 || int(n) < bound {
			bound = int(n)
		}
	}
	return bound
}

// scaled returns a parameter that is 0 to 2 for clients and 0 to 1 for the models.
// What is above is cut to 1, and the client is told.
func (d *decoder) scaled(name string) *float64 {
	v, ok := d.members[name]
	if !ok {
		return nil
	}
	f, err := v.within(0, 2)
	d.fail(err)
	if f > 1 {
		f = 1
		d.ignore(name)
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
	v, ok := d.members["stop"]
	if !ok {
		return nil, nil
	}
	if !v.is('"') && !v.is('[') {
		d.fail(v.wrong("a string or an array of strings"))
	}
	list := []value{v}
	if v.is('[') {
		list = d.atMost(v, maxStops, "stop sequences")
	}
	for _, v := range list {
		s, err := v.text()
		d.fail(err)
		switch {
		case s == "":
			d.fail(chat.Invalid(v.at, "must not be empty"))
		case len(s) > maxStop:
			d.fail(chat.Invalid(v.at, "must be at most %d bytes long", maxStop))
		case strings.TrimSpace(s) == "":
			blank = append(blank, s)
		default:
			upstream = append(upstream, s)
		}
	}
	return upstream, blank
}

// atMost returns the elements of an array that must not have more than n.
func (d *decoder) atMost(v value, n int, what string) []value {
	var list []value
	for i, e := range v.elements() {
		if i == n {
			d.fail(chat.Invalid(v.at, "must hold at most %d %s", n, what))
			break
		}
		list = append(list, e)
	}
	return list
}

// effort translates reasoning_effort; what OpenAI calls minimal is the models' low.
func (d *decoder) effort() (level string, noThinking bool) {
	v, ok := d.members["reasoning_effort"]
	if !ok {
		return "", false
	}
	level, err := v.among("none", "minimal", "low", "medium", "high", "xhigh", "max")
	d.fail(err)
	switch level {
	case "none":
		return "", true
	case "minimal":
		return "low", false
	}
	return level, false
}
