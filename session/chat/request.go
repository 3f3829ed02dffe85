package chat

import "strings"

// Tenant is whom a conversation belongs to. A CLI process serves one tenant from its
// first turn to its death.
type Tenant struct {
	Key  string `json:"key"`            // API key id, never the secret
	User string `json:"user,omitempty"` // the client's end user, any string
	Pool string `json:"pool"`           // the pool of workers the key belongs to
}

// Request is one question to the model with all that came before it. The history in
// it is the truth: what a warm process holds counts only when it equals this.
type Request struct {
	Tenant   Tenant    `json:"tenant"`
	Model    string    `json:"model"`            // as the CLI knows it: an alias or a full name
	System   string    `json:"system,omitempty"` // the system prompt; "" for none
	Messages []Message `json:"messages"`         // canonical; the last is the user's

	Tools      []Tool     `json:"tools,omitempty"`
	ToolChoice ToolChoice `json:"tool_choice,omitzero"`
	Params     Params     `json:"params,omitzero"`
}

// firstBytes is how many bytes of a block FirstMessage looks at.
const firstBytes = 1 << 10

// FirstMessage is the text that the user began with, of long ones the beginning.
func (r *Request) FirstMessage() string {
	for _, m := range r.Messages {
		if m.Role != RoleUser || m.Content[0].Text == opening {
			continue
		}
		var text strings.Builder
		for _, block := range m.Content {
			text.WriteString(block.Text[:min(len(block.Text), firstBytes)])
		}
		return text.String()
	}
	return ""
}
