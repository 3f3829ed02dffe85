package openai

import (
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// unapplied lists the parameters that are checked but not applied, since the models
// have no such knob. A client learns of each from a response header.
var unapplied = field.Checks{
	"frequency_penalty":  between(-2, 2),
	"logit_bias":         field.AnObject,
	"prediction":         field.AnObject,
	"presence_penalty":   between(-2, 2),
	"seed":               whole,
	"verbosity":          field.OneOf("low", "medium", "high"),
	"web_search_options": field.AnObject,
}

// refusals lists the parameters whose effect a client would miss: what cannot be done
// is refused and never left out in silence.
var refusals = field.Checks{
	"audio":         field.Never("audio answers are not supported: the models write text"),
	"function_call": field.Never("is gone from the API: use tools and tool_choice"),
	"functions":     field.Never("is gone from the API: use tools"),
	"logprobs":      logprobs,
	"modalities":    modalities,
	"top_logprobs":  func(field.Value) error { return noLogprobs() },
}

// others looks at the parameters that are not acted on.
func (d *decoder) others() {
	d.Check(refusals)
	for _, name := range d.Check(unapplied) {
		d.Ignore(name)
	}
}

func between(low, high float64) func(field.Value) error {
	return func(v field.Value) error {
		_, err := v.Within(low, high)
		return err
	}
}

func whole(v field.Value) error {
	_, err := v.Whole()
	return err
}

func logprobs(v field.Value) error {
	asked, err := v.Flag()
	if err == nil && asked {
		return noLogprobs()
	}
	return err
}

func noLogprobs() error {
	return chat.Invalid("logprobs", "is not supported: the models do not tell probabilities")
}

func modalities(v field.Value) error {
	if !v.Is('[') {
		return v.Wrong("an array of strings")
	}
	for _, m := range v.Elements() {
		if err := field.OneOf("text")(m); err != nil {
			return err
		}
	}
	return nil
}

// maxAnswers is the largest n.
const maxAnswers = 8

func (d *decoder) answers() int {
	v, ok := d.Members["n"]
	if !ok {
		return 1
	}
	n, err := v.Whole()
	if err == nil && (n < 1 || n > maxAnswers) {
		err = chat.Invalid(v.At, "must be between 1 and %d", maxAnswers)
	}
	d.Fail(err)
	return int(n)
}
