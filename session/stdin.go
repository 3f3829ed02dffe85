package session

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"maxrelay/session/chat"
)

// input collects the lines of one write to a CLI's stdin. Its methods are the only
// place where such lines are made. Caller text enters through user and assistant
// alone, always as blocks of a composed message: with client_composed the CLI takes
// text literally, without it "/clear" is a command and "@/etc/passwd" is read and sent.
type input struct {
	buf    bytes.Buffer
	fitted fitted // pictures of the turn as they are written
}

type userLine struct {
	Type            string      `json:"type"`
	Message         chatMessage `json:"message"`
	ParentToolUseID *string     `json:"parent_tool_use_id"`
	SessionID       string      `json:"session_id"`
	UUID            string      `json:"uuid"`
	ClientComposed  bool        `json:"client_composed"`
	ShouldQuery     *bool       `json:"shouldQuery,omitempty"`
}

type assistantLine struct {
	Type            string      `json:"type"`
	Message         chatMessage `json:"message"`
	ParentToolUseID *string     `json:"parent_tool_use_id"`
	SessionID       string      `json:"session_id"`
}

// chatMessage always writes its content as an array: an empty or blank string would
// be no turn at all.
type chatMessage struct {
	Role    chat.Role    `json:"role"`
	Content []chat.Block `json:"content"`
}

// ask adds a user message that the model is to answer and returns its uuid. The uuid
// is always fresh: the CLI drops a line with a known one in silence.
func (in *input) ask(m chat.Message) (id string, err error) { return in.user(m, nil) }

// tell adds a user message of the past: it is taken into the history, not answered.
func (in *input) tell(m chat.Message) (id string, err error) { return in.user(m, new(bool)) }

func (in *input) user(m chat.Message, query *bool) (string, error) {
	if m.Role != chat.RoleUser {
		return "", fmt.Errorf("a %s message is not a user line", m.Role)
	}
	id := uuid.NewString()
	return id, in.line(userLine{
		Type: "user", Message: chatMessage{m.Role, in.fitted.line(m.Content)}, UUID: id, ClientComposed: true, ShouldQuery: query,
	})
}

// assistant adds an answer of the past. The CLI applies it the moment it is read,
// ahead of user lines that still wait in its queue.
func (in *input) assistant(m chat.Message) error {
	if m.Role != chat.RoleAssistant {
		return fmt.Errorf("a %s message is not an assistant line", m.Role)
	}
	return in.line(assistantLine{Type: "assistant", Message: chatMessage(m)})
}

// request adds a control request with the given body and returns its id.
func (in *input) request(subtype string, body map[string]any) (id string, err error) {
	id = uuid.NewString()
	full := map[string]any{"subtype": subtype}
	for k, v := range body {
		full[k] = v
	}
	return id, in.line(map[string]any{"type": "control_request", "request_id": id, "request": full})
}

// initialize sets what can be set only once in a process's life. systemPrompt is
// always given: without it the CLI sends a default prompt of its own.
func (in *input) initialize(system string) (id string, err error) {
	return in.request("initialize", map[string]any{
		"systemPrompt": []string{system},
		"hooks":        map[string]any{"PreToolUse": []any{map[string]any{"hookCallbackIds": []string{"defer"}}}},
	})
}

// respond answers a control request of the CLI's.
func (in *input) respond(id string, response any) error {
	return in.line(map[string]any{"type": "control_response",
		"response": map[string]any{"subtype": "success", "request_id": id, "response": response}})
}

// refuse answers a control request of the CLI's that this program does not serve.
func (in *input) refuse(id, why string) error {
	return in.line(map[string]any{"type": "control_response",
		"response": map[string]any{"subtype": "error", "request_id": id, "error": why}})
}

// line appends one JSON line. Encoding never leaves a raw newline in a value.
func (in *input) line(v any) error {
	enc := json.NewEncoder(&in.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode a %T: %w", v, err)
	}
	return nil
}
