package chat

import "encoding/json"

// Role says whose a message is.
type Role string

// The roles. RoleSystem stands only inside a conversation that has already begun;
// what comes before the first other message is Request.System.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleSystem    Role = "system"
)

// BlockType names what a block holds, in the Messages API's words.
type BlockType string

// The block types.
const (
	BlockText       BlockType = "text"
	BlockImage      BlockType = "image"
	BlockDocument   BlockType = "document"
	BlockToolUse    BlockType = "tool_use"
	BlockToolResult BlockType = "tool_result"
	BlockThinking   BlockType = "thinking"
)

// Message is one message: a role and its blocks.
type Message struct {
	Role    Role    `json:"role"`
	Content []Block `json:"content"`
}

// Block is one content block. Type says which of the other fields count; they are
// named and encoded as in the Messages API, so that a block can be written to the
// CLI as it is. A caller's cache_control has no field here and so never passes.
type Block struct {
	Type BlockType `json:"type"`

	Text string `json:"text,omitempty"` // text

	Source  *Source `json:"source,omitempty"`  // image, document
	Title   string  `json:"title,omitempty"`   // document
	Context string  `json:"context,omitempty"` // document: what the model is told of it

	ID    string          `json:"id,omitempty"`    // tool_use
	Name  string          `json:"name,omitempty"`  // tool_use
	Input json.RawMessage `json:"input,omitempty"` // tool_use: a JSON object

	ToolUseID string  `json:"tool_use_id,omitempty"` // tool_result
	Content   []Block `json:"content,omitempty"`     // tool_result
	IsError   bool    `json:"is_error,omitempty"`    // tool_result

	Thinking  string `json:"thinking,omitempty"`  // thinking
	Signature string `json:"signature,omitempty"` // thinking
}

// Source is where an image's or a document's bytes come from.
type Source struct {
	Type      string `json:"type"` // base64, url or text
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"` // canonical base64 (RFC 4648 section 4), or plain text for type text
	URL       string `json:"url,omitempty"`

	// At is the field of the request that the bytes came in, for errors that only
	// reading them shows. It is no part of the conversation and never written to the CLI.
	At string `json:"at,omitempty"`
}

// Text returns a message of one text block.
func Text(role Role, text string) Message {
	return Message{Role: role, Content: []Block{{Type: BlockText, Text: text}}}
}
