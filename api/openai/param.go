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

// unapplied lists the parameters that are checked but not applied, since the models
// have no such knob. A client learns of each from a response header.
var unapplied = []param{
	{"frequency_penalty", between(-2, 2)},
	{"logit_bias", object},
	{"prediction", object},
	{"presence_penalty", between(-2, 2)},
	{"seed", whole},
	{"verbosity", oneOf("low", "medium", "high")},
	{"web_search_options", object},
}

func (d *decoder) checkUnapplied() {
	for _, p := range unapplied {
		if v, ok := d.members[p.name]; ok {
			d.fail(p.check(v))
			d.ignore(p.name)
		}
	}
}

// refusals lists the parameters whose effect a client would miss: what cannot be done
// is refused and never left out in silence.
var refusals = []param{
	{"audio", never("audio answers are not supported: the models write text")},
	{"function_call", never("is gone from the API: use tools and tool_choice")},
	{"functions", never("is gone from the API: use tools")},
	{"logprobs", logprobs},
	{"modalities", modalities},
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
		_, err := v.within(low, high)
		return err
	}
}

func (v value) within(low, high float64) (float64, error) {
	f, err := v.number()
	if err == nil && (f < low || f > high) {
		return 0, chat.Invalid(v.at, "must be between %g and %g", low, high)
	}
	return f, err
}

func whole(v value) error {
	_, err := v.whole()
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
		_, err := v.among(names...)
		return err
	}
}

func (v value) among(names ...string) (string, error) {
	name, err := v.text()
	if err == nil && !slices.Contains(names, name) {
		return "", chat.Invalid(v.at, "must be one of %s", strings.Join(names, ", "))
	}
	return name, err
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

// maxAnswers is the largest n.
const maxAnswers = 8

func (d *decoder) answers() int {
	v, ok := d.members["n"]
	if !ok {
		return 1
	}
	n, err := v.whole()
	if err == nil && (n < 1 || n > maxAnswers) {
		err = chat.Invalid(v.at, "must be between 1 and %d", maxAnswers)
	}
	d.fail(err)
	return int(n)
}
