package session

import (
	"encoding/json"
	"strconv"
	"strings"

	"maxrelay/session/chat"
)

// settings are what a turn may want otherwise than a process has it. The zero value is
// how a process starts. Values are compared, so the fields stay plain.
type settings struct {
	effort     string // low, medium, high, xhigh or max; "" for the model's own
	maxTokens  int    // 0 for the model's own
	noThinking bool
	uncached   bool   // the prompt is not offered to the upstream's cache
	extra      string // further members of the request's body, as JSON; "" for none
}

// settings returns what this turn wants. A conversation that was sent cached stays
// cached however short an edit makes it: its prefix is still there to be read.
func (t *turn) settings() settings {
	cached := t.plan.keep > 0 && !t.s.set.uncached
	p := t.req.Params
	return settings{
		effort: p.Effort, maxTokens: p.MaxTokens, noThinking: p.NoThinking || t.thoughtless(),
		uncached: !cached && t.req.EstimatePrompt() < t.cfg.MinCacheTokens,
		extra:    extraBody(t.req),
	}
}

// thoughtless reports whether the turn goes on with a tool loop that has no thinking in
// it: thinking is not replayed, and the API takes none behind calls that came without.
func (t *turn) thoughtless() bool {
	last := t.req.Messages[len(t.req.Messages)-1]
	return holds(last, chat.BlockToolResult) && (t.plan.replay > 0 || t.s.set.noThinking)
}

// extraBody returns the members of the Messages API's request body that the CLI has no
// setting for. Its own environment variable for them takes any; these are all that is
// ever sent.
func extraBody(req *chat.Request) string {
	var body struct {
		Temperature  *float64     `json:"temperature,omitempty"`
		TopP         *float64     `json:"top_p,omitempty"`
		TopK         int          `json:"top_k,omitempty"`
		Stop         []string     `json:"stop_sequences,omitempty"`
		Tools        []apiTool    `json:"tools,omitempty"`
		ToolChoice   *toolChoice  `json:"tool_choice,omitempty"`
		OutputConfig outputConfig `json:"output_config,omitzero"`
	}
	p := req.Params
	body.Temperature, body.TopP, body.TopK, body.Stop, body.ToolChoice = p.Temperature, p.TopP, p.TopK, p.Stop, choiceOf(req)
	body.Tools = retold(req.Tools)
	if len(p.Schema) > 0 {
		body.OutputConfig.Format = &format{"json_schema", p.Schema}
	}
	b, err := json.Marshal(body)
	if err != nil || string(b) == "{}" { // a schema that is no JSON does not get this far
		return ""
	}
	return string(b)
}

type toolChoice struct {
	Type       chat.Choice `json:"type"`
	Name       string      `json:"name,omitempty"`
	Sequential bool        `json:"disable_parallel_tool_use,omitempty"`
}

// choiceOf returns nil for what is the API's default anyway.
func choiceOf(req *chat.Request) *toolChoice {
	c := req.ToolChoice
	if len(req.Tools) == 0 || c == (chat.ToolChoice{}) {
		return nil
	}
	if c.Mode == "" {
		c.Mode = chat.ChoiceAuto
	}
	if c.Mode == chat.ChoiceNone {
		c.Sequential = false // the API knows no such pair
	}
	return &toolChoice{c.Mode, c.Name, c.Sequential}
}

// outputConfig never holds the effort: given here, the CLI would leave out the header
// that makes it count (Claude Code 2.1.330).
type outputConfig struct {
	Format *format `json:"format,omitempty"`
}

type format struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// adjust makes the process have what the turn wants. What it has already costs nothing;
// a change costs the CLI some 15 ms and holds for the user line of the same write, and
// across a rewind (Claude Code 2.1.330).
func (t *turn) adjust(in *input) error {
	want := t.settings()
	if want == t.s.set {
		return nil
	}
	id, err := in.request("apply_flag_settings", map[string]any{"settings": want.flags(t.cfg.Env)})
	t.pending[id] = "apply_flag_settings"
	t.s.set = want
	return err
}

// flags is the form that the CLI takes. It keeps a variable that is not named, and one
// that is empty counts as unset, so every variable is named each time. A process's own
// environment, where an operator may have set the same variable, is the default.
func (s settings) flags(environ []string) map[string]any {
	env := make(map[string]string)
	set := func(name, value string, wanted bool) {
		env[name] = value
		if !wanted {
			env[name] = lookup(environ, name)
		}
	}
	set("CLAUDE_CODE_MAX_OUTPUT_TOKENS", strconv.Itoa(s.maxTokens), s.maxTokens > 0)
	set("CLAUDE_CODE_DISABLE_THINKING", "1", s.noThinking)
	set("DISABLE_PROMPT_CACHING", "1", s.uncached)
	set("CLAUDE_CODE_EXTRA_BODY", s.extra, s.extra != "")
	var effort *string // null resets
	if s.effort != "" {
		effort = &s.effort
	}
	return map[string]any{"effortLevel": effort, "env": env}
}

// lookup returns a variable's value in a list of os.Environ's form, "" for none.
func lookup(environ []string, name string) (value string) {
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v // the last one counts, as in package os/exec
		}
	}
	return value
}
