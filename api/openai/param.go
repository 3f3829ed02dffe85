package openai

import (
	"slices"
	"strings"

	"maxrelay/session/chat"
)

// param is a parameter and what it may be.
type param struct {
	name  string
	check func(value) error
}

// tuning lists the parameters that shape an answer and are checked but not applied,
// by name. A client learns of each from a response header.
var tuning = []param{
	{"frequency_penalty", between(-2, 2)},
	{"logit_bias", object},
	{"max_completion_tokens", atLeastOne},
	{"max_tokens", atLeastOne},
	{"prediction", object},
	{"presence_penalty", between(-2, 2)},
	{"reasoning_effort", oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max")},
	{"seed", whole},
	{"stop", stops},
	{"temperature", between(0, 2)},
	{"top_p", between(0, 2)},
	{"verbosity", oneOf("low", "medium", "high")},
	{"web_search_options", object},
}

func (d *decoder) ignored() []string {
	var names []string
	for _, p := range tuning {
		v, ok := d.members[p.name]
		if !ok || v.is('[') && v.empty() {
			continue
		}
		d.fail(p.check(v))
		names = append(names, p.name)
	}
	return names
}

// refusals lists the parameters whose effect a client would miss: what cannot be done
// is refused and never left out in silence.
var refusals = []param{
	{"audio", never("audio answers are not supported: the models write text")},
	{"function_call", never("is gone from the API: use tools and tool_choice")},
	{"functions", never("is gone from the API: use tools")},
	{"logprobs", logprobs},
	{"modalities", modalities},
	{"n", answers},
	{"parallel_tool_calls", boolean},
	{"response_format", responseFormat},
	{"tool_choice", toolChoice},
	{"tools", tools},
	{"top_logprobs", func(value) error { return noLogprobs() }},
}

func (d *decoder) refuse() {
	for _, p := range refusals {
		if v, ok := d.members[p.name]; ok {
			d.fail(p.check(v))
		}
	}
}

func never(words string) func(value) error {
	return func(v value) error { return chat.Invalid(v.at, "%s", words) }
}

func between(low, high float64) func(value) error {
	return func(v value) error {
		f, err := v.number()
		if err == nil && (f < low || f > high) {
			return chat.Invalid(v.at, "must be between %g and %g", low, high)
		}
		return err
	}
}

func atLeastOne(v value) error {
	n, err := v.whole()
	if err == nil && n < 1 {
		return chat.Invalid(v.at, "must be at least 1")
	}
	return err
}

func whole(v value) error {
	_, err := v.whole()
	return err
}

func boolean(v value) error {
	_, err := v.flag()
	return err
}

func object(v value) error {
	if !v.is('{') {
		return v.wrong("an object")
	}
	return nil
}

func oneOf(names ...string) func(value) error {
	return func(v value) error {
		name, err := v.text()
		if err == nil && !slices.Contains(names, name) {
			return chat.Invalid(v.at, "must be one of %s", strings.Join(names, ", "))
		}
		return err
	}
}

// maxStops is OpenAI's bound on the number of stop sequences.
const maxStops = 4

func stops(v value) error {
	if v.is('"') {
		return stop(v)
	}
	if !v.is('[') {
		return v.wrong("a string or an array of strings")
	}
	for i, s := range v.elements() {
		if i == maxStops {
			return chat.Invalid(v.at, "must hold at most %d stop sequences", maxStops)
		}
		if err := stop(s); err != nil {
			return err
		}
	}
	return nil
}

func stop(v value) error {
	s, err := v.text()
	if err == nil && s == "" {
		return chat.Invalid(v.at, "must not be empty")
	}
	return err
}

func logprobs(v value) error {
	asked, err := v.flag()
	if err == nil && asked {
		return noLogprobs()
	}
	return err
}

func noLogprobs() error {
	return chat.Invalid("logprobs", "is not supported: the models do not tell probabilities")
}

func modalities(v value) error {
	if !v.is('[') {
		return v.wrong("an array of strings")
	}
	for _, m := range v.elements() {
		if err := oneOf("text")(m); err != nil {
			return err
		}
	}
	return nil
}

// maxAnswers is the largest n there will ever be.
const maxAnswers = 8

func answers(v value) error {
	n, err := v.whole()
	switch {
	case err != nil:
		return err
	case n < 1 || n > maxAnswers:
		return chat.Invalid(v.at, "must be between 1 and %d", maxAnswers)
	case n > 1:
		return chat.Invalid(v.at, "more than one answer a request is not supported by this server yet: send the request %d times", n)
	}
	return nil
}

func responseFormat(v value) error {
	members, err := v.members("type")
	if err != nil {
		return err
	}
	kind, ok := members["type"]
	if !ok {
		return chat.Invalid(v.at+".type", "is required: text")
	}
	name, err := kind.text()
	if err == nil && name != "text" {
		return chat.Invalid(kind.at, "must be text: other formats are not supported by this server yet")
	}
	return err
}

func tools(v value) error {
	if !v.is('[') {
		return v.wrong("an array of tools")
	}
	if !v.empty() {
		return chat.Invalid(v.at, "tools are not supported by this server yet")
	}
	return nil
}

// toolChoice is checked as for a request without tools, since tools is refused.
func toolChoice(v value) error {
	if v.is('"') {
		if name := unquote(v.raw); name == "none" || name == "auto" {
			return nil
		}
	}
	return chat.Invalid(v.at, "must be none or auto in a request without tools")
}
