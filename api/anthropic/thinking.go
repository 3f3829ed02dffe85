package anthropic

import (
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// thinking reads whether the model is to think, and reports whether what it thinks is
// left out of the answer. Without the parameter the upstream gets none, and the model does
// what it does then.
func (d *decoder) thinking(p *chat.Params, choice chat.ToolChoice) (silent bool) {
	p.NoThinking = true
	v, ok := d.Members["thinking"]
	if !ok {
		return false
	}
	kind, name, err := v.Type("enabled, adaptive or disabled")
	if err == nil {
		_, err = kind.Among("enabled", "disabled", "adaptive", "between_tools")
	}
	if d.Fail(err); err != nil || name == "disabled" {
		return false
	}
	p.NoThinking = false
	if p.ForbidThinking(choice) {
		d.Fail(chat.Invalid(v.At, "cannot go together with a temperature other than 1, a top_p below 0.95, a top_k, or a tool_choice that forces a call"))
	}
	return d.thoughts(d.object("thinking", "budget_tokens", "display"), name)
}

// thoughts reads how the model is to think.
func (d *decoder) thoughts(config field.Object, kind string) (silent bool) {
	switch kind {
	case "between_tools":
		d.Ignore("thinking.type")
	case "enabled":
		d.budget(config)
	}
	display := config.Text("display")
	d.Fail(config.Err)
	return display == "omitted"
}

// minBudget is the Messages API's.
const minBudget = 1024

// budget checks a budget for thinking. It is the model that decides how much it thinks,
// guided by the effort.
func (d *decoder) budget(config field.Object) {
	v, ok := config.Members["budget_tokens"]
	if !ok {
		d.Fail(chat.Invalid("thinking.budget_tokens", "is required with the type enabled: how many tokens the model may think"))
		return
	}
	n, err := v.Whole()
	if err == nil && n < minBudget {
		err = chat.Invalid(v.At, "must be at least %d", minBudget)
	}
	d.Fail(err)
	d.Ignore("thinking.budget_tokens")
}
