package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"maxrelay/session/chat"
)

// toolset is what a process offers to the model: the client's functions, as the tools
// of an MCP server that this program plays over stdio. Its tools are never called
// there. The CLI asks before every call (the PreToolUse hook), is told to defer, and
// ends the turn at the call.
//
// A set is replaced as a whole, under a server name of its own: Claude Code 2.1.330
// asks a new server for its tools and holds the next user line until it has them.
//
// The CLI keeps what it makes of a tool for as long as it lives, by name and schema:
// offered again with another description, it has the former one. So a process never
// offers a name with two descriptions.
type toolset struct {
	serial    int
	offered   []chat.Tool
	described map[string]string // descriptions by name, of all tools ever offered
	// awaited says that the CLI has still to fetch the list. Until it has, its process
	// must be listened to: it holds the next line back, and for good when nobody answers.
	awaited bool
}

func (s toolset) server() string { return "t" + strconv.Itoa(s.serial) }

func (s toolset) same(tools []chat.Tool) bool {
	return slices.EqualFunc(s.offered, tools, func(a, b chat.Tool) bool {
		return a.Name == b.Name && a.Description == b.Description && string(a.Schema) == string(b.Schema)
	})
}

// takes reports whether the model would be shown these tools as they are.
func (s toolset) takes(tools []chat.Tool) bool {
	return !slices.ContainsFunc(tools, func(t chat.Tool) bool {
		before, known := s.described[t.Name]
		return known && before != t.Description
	})
}

// next returns the set that replaces this one.
func (s toolset) next(tools []chat.Tool) toolset {
	s.serial, s.offered, s.awaited = s.serial+1, tools, len(tools) > 0
	if s.described == nil {
		s.described = make(map[string]string)
	}
	for _, t := range tools {
		s.described[t.Name] = t.Description
	}
	return s
}

func (s toolset) has(name string) bool {
	return slices.ContainsFunc(s.offered, func(t chat.Tool) bool { return t.Name == name })
}

// offer makes the process offer the request's tools, if it does not yet.
func (t *turn) offer(in *input) error {
	if t.s.tools.same(t.req.Tools) {
		return nil
	}
	t.s.tools = t.s.tools.next(t.req.Tools)
	t.s.watchInit.Store(true)
	servers := map[string]any{}
	if len(t.req.Tools) > 0 {
		name := t.s.tools.server()
		servers[name] = map[string]string{"type": "sdk", "name": name}
	}
	id, err := in.request("mcp_set_servers", map[string]any{"servers": servers})
	t.pending[id] = "mcp_set_servers"
	return err
}

// mcpMessage is a JSON-RPC message of the CLI's, as the client of our server.
type mcpMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		ProtocolVersion string `json:"protocolVersion"`
	} `json:"params"`
}

// answerMCP adds the answer to one message of the CLI's to the server of that name.
func (t *turn) answerMCP(in *input, l *line) error {
	m := l.Request.Message
	reply := map[string]any{"jsonrpc": "2.0", "id": m.ID}
	switch {
	case l.Request.ServerName != t.s.tools.server():
		reply["error"] = rpcError{-32001, "this server is gone"}
	case m.Method == "initialize":
		reply["result"] = map[string]any{
			"protocolVersion": m.Params.ProtocolVersion,
			"capabilities":    map[string]any{"tools": struct{}{}},
			"serverInfo":      map[string]string{"name": t.s.tools.server(), "version": "1"},
		}
	case m.Method == "tools/list":
		reply["result"] = map[string]any{"tools": mcpTools(t.s.tools.offered)}
		t.s.tools.awaited = false
	case len(m.ID) == 0: // a notification: the CLI still wants its request answered
		reply["id"], reply["result"] = 0, struct{}{}
	default: // tools/call would mean that a call was not deferred
		reply["error"] = rpcError{-32601, "not served here"}
	}
	return in.respond(l.RequestID, map[string]any{"mcp_response": reply})
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type mcpTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"`
}

// anything is the schema of a tool that has none.
var anything = json.RawMessage(`{"type":"object","properties":{}}`)

func mcpTools(tools []chat.Tool) []mcpTool {
	list := make([]mcpTool, len(tools))
	for i, t := range tools {
		list[i] = mcpTool{Name: t.Name, Description: t.Description, InputSchema: t.Schema}
		if len(t.Schema) == 0 {
			list[i].InputSchema = anything
		}
	}
	return list
}

// apiTool is a tool as the Messages API takes it.
type apiTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
}

// retold returns the tools for the request's body, in the CLI's order, where the CLI
// would tell them to the model in other words; nil where it would not. Claude Code
// 2.1.330 brings what is not ASCII in a server's tools into Unicode's form NFKC, takes
// out what is invisible, the joiners of emoji among it, and leaves out properties of the
// name __proto__. It still has to have the tools from the server: a call of any other
// ends in an error of its own.
func retold(tools []chat.Tool) []apiTool {
	if !slices.ContainsFunc(tools, reworded) {
		return nil
	}
	list := make([]apiTool, len(tools))
	for i, t := range mcpTools(tools) {
		list[i] = apiTool(t)
	}
	slices.SortFunc(list, func(a, b apiTool) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// reworded says that the CLI may change a tool. An escape in a schema may stand for
// anything.
func reworded(t chat.Tool) bool {
	schema := string(t.Schema)
	return !ascii(t.Description) || !ascii(schema) || strings.Contains(schema, `\u`) || strings.Contains(schema, "__proto__")
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// errOffer means that the process offers the model other tools than it was told to.
var errOffer = errors.New("the CLI does not offer the client's tools")

// checkOffer compares what the CLI says it offers, at the begin of a turn, with what it
// was told to. It drops a tool, or all of them, in silence when it dislikes a schema
// (Claude Code 2.1.330), and the model would then answer as if the client had none.
func (t *turn) checkOffer(names []string) error {
	t.s.watchInit.Store(false)
	for _, tool := range t.req.Tools {
		if !slices.Contains(names, tool.Name) {
			return chat.Invalid("tools", "the parameters of one of the tools are not a JSON Schema that the model can be given")
		}
	}
	if len(names) != len(t.req.Tools) {
		return fmt.Errorf("%w: %d tools instead of %d", errOffer, len(names), len(t.req.Tools))
	}
	return nil
}

// call is a tool call of the model's.
type call struct {
	block chat.Block
	input strings.Builder // its arguments' JSON
}

// startCall takes the begin of a call. A call of a tool that was not offered reaches
// nobody.
func (t *turn) startCall(e *streamEvent) {
	if !t.s.tools.has(e.ContentBlock.Name) {
		t.withhold(e.Index)
		return
	}
	t.calling = &call{block: chat.Block{Type: chat.BlockToolUse, ID: e.ContentBlock.ID, Name: e.ContentBlock.Name}}
	t.calls = append(t.calls, t.calling)
}

// said is the answer as the process holds it and as a client sends it back. ok is false
// when it is nothing that could be sent back.
func (t *turn) said() (m chat.Message, ok bool) {
	m = chat.Message{Role: chat.RoleAssistant}
	if text := t.text.String(); !chat.Blank(text) {
		m = chat.Text(chat.RoleAssistant, text)
	}
	for _, c := range t.calls {
		input, err := chat.CanonicalJSON([]byte(c.input.String()))
		if err != nil {
			return m, false
		}
		c.block.Input = input
		m.Content = append(m.Content, c.block)
	}
	return m, len(m.Content) > 0
}
