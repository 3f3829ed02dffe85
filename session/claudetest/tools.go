package claudetest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// server is one of the driver's MCP servers and the tools it offered.
type server struct {
	name  string
	tools []string // as the model is told them, sorted
}

// handshakeTime is how long a turn waits for the tools of a server.
const handshakeTime = 5 * time.Second

// setServers replaces the servers, answers, and then asks the new ones for their tools.
func (f *fake) setServers(id string, wanted map[string]json.RawMessage) {
	names := slices.Sorted(maps.Keys(wanted))
	known := make(chan struct{})
	f.mu.Lock()
	added, removed := []string{}, []string{}
	var kept []server
	for _, s := range f.servers {
		if _, ok := wanted[s.name]; ok {
			kept = append(kept, s)
		} else {
			removed = append(removed, s.name)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(kept, func(s server) bool { return s.name == name }) {
			added = append(added, name)
			kept = append(kept, server{name: name})
		}
	}
	f.servers, f.shaken = kept, known
	f.mu.Unlock()

	f.respond(id, map[string]any{"added": added, "removed": removed, "errors": struct{}{}})
	f.work.Go(func() {
		defer close(known)
		for _, name := range added {
			f.handshake(name)
		}
	})
}

// handshake is MCP's: initialize, initialized, tools/list.
func (f *fake) handshake(name string) {
	ctx, cancel := context.WithTimeout(f.ctx, handshakeTime)
	defer cancel()
	mcp := func(message map[string]any) json.RawMessage {
		message["jsonrpc"] = "2.0"
		var reply struct {
			MCP struct {
				Result json.RawMessage `json:"result"`
			} `json:"mcp_response"`
		}
		answer := f.ask(ctx, map[string]any{"subtype": "mcp_message", "server_name": name, "message": message})
		_ = json.Unmarshal(answer, &reply) // a bad answer is no tools
		return reply.MCP.Result
	}
	mcp(map[string]any{"method": "initialize", "id": 0, "params": map[string]any{"protocolVersion": "2025-11-25",
		"capabilities": struct{}{}, "clientInfo": map[string]string{"name": "claude-code", "version": Version}}})
	mcp(map[string]any{"method": "notifications/initialized"})
	tools := f.offered(name, mcp(map[string]any{"method": "tools/list", "id": 1}))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.servers {
		if f.servers[i].name == name {
			f.servers[i].tools = tools
		}
	}
}

// offered is the names of a tools/list result. One bad schema makes all tools vanish without an error.
func (f *fake) offered(server string, result json.RawMessage) []string {
	var list struct {
		Tools []struct {
			Name        string `json:"name"`
			InputSchema struct {
				Type     string   `json:"type"`
				Required []string `json:"required"`
			} `json:"inputSchema"`
		} `json:"tools"`
	}
	if json.Unmarshal(result, &list) != nil {
		return nil
	}
	prefix := "mcp__" + server + "__"
	if f.getenv("CLAUDE_AGENT_SDK_MCP_NO_PREFIX") == "1" {
		prefix = ""
	}
	var names []string
	for _, t := range list.Tools {
		if t.InputSchema.Type != "object" {
			return nil
		}
		names = append(names, prefix+t.Name)
	}
	slices.Sort(names)
	return names
}

// tools is what the model may call in the next turn, and from which server it is.
func (f *fake) tools() (names []string, of map[string]string) {
	f.mu.Lock()
	known := f.shaken
	f.mu.Unlock()
	select {
	case <-known:
	case <-f.ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	names, of = []string{}, map[string]string{}
	for _, s := range f.servers {
		for _, t := range s.tools {
			names = append(names, t)
			of[t] = s.name
		}
	}
	slices.Sort(names)
	return names, of
}

// ask sends a control request to the driver and waits for its answer.
func (f *fake) ask(ctx context.Context, request map[string]any) json.RawMessage {
	id, answer := newUUID(), make(chan json.RawMessage, 1)
	f.mu.Lock()
	f.pending[id] = answer
	f.mu.Unlock()
	f.out.line(map[string]any{"type": "control_request", "request_id": id, "request": request})
	select {
	case a := <-answer:
		return a
	case <-ctx.Done():
		f.mu.Lock()
		delete(f.pending, id)
		f.mu.Unlock()
		return nil
	}
}

// deferred asks the driver's hook about a call and reports whether the call is left to the driver.
func (f *fake) deferred(ctx context.Context, call part, server string) bool {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == "" {
		return false
	}
	input := json.RawMessage(strings.Join(call.deltas, ""))
	answer := f.ask(ctx, map[string]any{"subtype": "hook_callback", "callback_id": hook, "tool_use_id": call.id, "input": map[string]any{
		"session_id": sessionID, "permission_mode": "default", "hook_event_name": "PreToolUse", "tool_name": call.name,
		"tool_input": input, "tool_use_id": call.id, "mcp_server": map[string]string{"name": server, "source": "sdk"}}})
	var reply struct {
		Output struct {
			Decision string `json:"permissionDecision"`
		} `json:"hookSpecificOutput"`
	}
	return json.Unmarshal(answer, &reply) == nil && reply.Output.Decision == "defer"
}
