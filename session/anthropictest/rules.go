package anthropictest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"maxrelay/session/anthropictest/wire"
)

// check applies the rules by which the real API refuses a request with 400, as far as a relay can break them.
func check(b Body) error {
	for _, rule := range []func(Body) error{
		checkBasics, checkRoles, checkTexts, checkToolResults, checkTools, checkCacheControl, checkSampling, checkThinking,
	} {
		if err := rule(b); err != nil {
			return err
		}
	}
	return nil
}

func checkBasics(b Body) error {
	switch {
	case b.Model == "":
		return errors.New("model: Field required")
	case b.MaxTokens < 1:
		return errors.New("max_tokens: Input should be greater than or equal to 1")
	case len(spoken(b.Messages)) == 0:
		return errors.New("messages: at least one message is required")
	}
	return nil
}

// spoken leaves out the messages of the role system, which Claude Code 2.1.330 sends between the others.
func spoken(all []Message) []Message {
	var out []Message
	for _, m := range all {
		if m.Role != "system" {
			out = append(out, m)
		}
	}
	return out
}

func checkRoles(b Body) error {
	for i, m := range b.Messages {
		switch m.Role {
		case "user", "assistant", "system":
		default:
			return fmt.Errorf("messages.%d.role: Input should be 'user' or 'assistant'", i)
		}
	}
	if spoken(b.Messages)[0].Role != "user" {
		return errors.New("messages: first message must use the \"user\" role")
	}
	return nil
}

func checkTexts(b Body) error {
	for i, m := range b.Messages {
		if len(m.Content) == 0 && m.Role != "system" {
			return fmt.Errorf("messages.%d: all messages must have non-empty content", i)
		}
		for _, block := range m.Content {
			if err := checkText(block); err != nil {
				return fmt.Errorf("messages.%d: %w", i, err)
			}
		}
	}
	for _, block := range b.System {
		if err := checkText(block); err != nil {
			return fmt.Errorf("system: %w", err)
		}
	}
	last := b.Messages[len(b.Messages)-1]
	if text := last.Text(); last.Role == "assistant" && strings.TrimRight(text, " \t\n") != text {
		return errors.New("messages: final assistant content cannot end with trailing whitespace")
	}
	return nil
}

func checkText(block Block) error {
	switch {
	case block.Type == "":
		return errors.New("content block without a type")
	case block.Type != "text":
		return nil
	case block.Text == "":
		return errors.New("text content blocks must be non-empty")
	case strings.TrimSpace(block.Text) == "":
		return errors.New("text content blocks must contain non-whitespace text")
	}
	return nil
}

// checkToolResults wants each call answered, once, in the very next message, and nothing else answered.
func checkToolResults(b Body) error {
	var open []string // calls of the message before
	known := map[string]bool{}
	for i, m := range spoken(b.Messages) {
		answered := map[string]bool{}
		for _, block := range m.Content {
			if block.Type != "tool_result" {
				continue
			}
			if !contains(open, block.ToolUseID) || m.Role != "user" {
				return fmt.Errorf("messages.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block "+
					"must have a corresponding `tool_use` block in the previous message", i, block.ToolUseID)
			}
			if answered[block.ToolUseID] {
				return fmt.Errorf("messages.%d: each tool_use must have a single result. Found multiple `tool_result` blocks with id: %s",
					i, block.ToolUseID)
			}
			answered[block.ToolUseID] = true
		}
		if err := allAnswered(i-1, open, answered); err != nil {
			return err
		}
		open = nil
		for _, block := range m.Content {
			if block.Type != "tool_use" {
				continue
			}
			if m.Role != "assistant" || known[block.ID] {
				return fmt.Errorf("messages.%d: `tool_use` ids must be unique and in assistant messages", i)
			}
			known[block.ID] = true
			open = append(open, block.ID)
		}
	}
	return allAnswered(len(b.Messages)-1, open, nil)
}

func allAnswered(i int, open []string, answered map[string]bool) error {
	for _, id := range open {
		if !answered[id] {
			return fmt.Errorf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s", i, id)
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

func checkTools(b Body) error {
	names := map[string]bool{}
	for i, t := range b.Tools {
		if !toolName.MatchString(t.Name) {
			return fmt.Errorf("tools.%d.custom.name: String should match pattern '%s'", i, toolName)
		}
		if names[t.Name] {
			return errors.New("tools: Tool names must be unique")
		}
		names[t.Name] = true
	}
	switch c := b.ToolChoice; {
	case c == nil:
	case len(b.Tools) == 0:
		return errors.New("tool_choice: may only be specified while providing tools")
	case c.Type == "tool" && !names[c.Name]:
		return fmt.Errorf("tool_choice: tool %q not found in provided tools", c.Name)
	}
	return nil
}

const maxBreakpoints = 4

// checkCacheControl goes through the prompt in the API's order: tools, system, messages.
func checkCacheControl(b Body) error {
	n, short := 0, false
	var late bool // an hour after five minutes
	count := func(cc *wire.CacheControl) {
		if cc == nil {
			return
		}
		n++
		late = late || short && cc.TTL == "1h"
		short = short || cc.TTL != "1h"
	}
	countAll := func(blocks Content) {
		for _, block := range blocks {
			for _, inner := range block.Content {
				count(inner.CacheControl)
			}
			count(block.CacheControl)
		}
	}
	for _, t := range b.Tools {
		count(t.CacheControl)
	}
	countAll(b.System)
	for _, m := range b.Messages {
		countAll(m.Content)
	}
	switch {
	case n > maxBreakpoints:
		return fmt.Errorf("a maximum of %d blocks with cache_control may be provided, found %d", maxBreakpoints, n)
	case late:
		return errors.New("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")
	}
	return nil
}

func checkSampling(b Body) error {
	if b.Temperature != nil && (*b.Temperature < 0 || *b.Temperature > 1) {
		return errors.New("temperature: range: 0..1")
	}
	if b.Temperature != nil && b.TopP != nil {
		return errors.New("`temperature` and `top_p` cannot both be specified for this model. Please use only one")
	}
	for i, s := range b.StopSequences {
		if strings.TrimSpace(s) == "" {
			return fmt.Errorf("stop_sequences.%d: each stop sequence must contain non-whitespace", i)
		}
	}
	return nil
}

func checkThinking(b Body) error {
	if !b.Thinking.On() {
		return nil
	}
	switch t := b.Thinking; {
	case b.Temperature != nil && *b.Temperature != 1:
		return errors.New("`temperature` may only be set to 1 when thinking is enabled")
	case b.TopP != nil && *b.TopP < 0.95:
		return errors.New("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled")
	case b.TopK != nil:
		return errors.New("`top_k` must be unset when thinking is enabled")
	case b.ToolChoice != nil && (b.ToolChoice.Type == "any" || b.ToolChoice.Type == "tool"):
		return errors.New("thinking may not be enabled when tool_choice forces tool use")
	case t.Type == "enabled" && t.BudgetTokens < 1024:
		return errors.New("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
	case t.Type == "enabled" && t.BudgetTokens >= b.MaxTokens:
		return errors.New("`max_tokens` must be greater than `thinking.budget_tokens`")
	}
	return checkThoughts(b)
}

// checkThoughts wants thinking blocks to be the API's own, and an open tool loop to begin with one. The second holds for thinking
// with a budget only; adaptive thinking takes turns without.
func checkThoughts(b Body) error {
	messages := spoken(b.Messages)
	for i, m := range messages {
		for _, block := range m.Content {
			if block.Type == "thinking" && block.Signature != signature(block.Thinking) {
				return fmt.Errorf("messages.%d: Invalid `signature` in `thinking` block", i)
			}
		}
	}
	if b.Thinking.Type != "enabled" || len(messages) < 2 || !hasType(messages[len(messages)-1], "tool_result") {
		return nil
	}
	first := messages[len(messages)-2].Content[0].Type
	if first != "thinking" && first != "redacted_thinking" {
		return fmt.Errorf("messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `%s`. When `thinking` is "+
			"enabled, a final `assistant` message must start with a thinking block", len(messages)-2, first)
	}
	return nil
}

func hasType(m Message, kind string) bool {
	for _, b := range m.Content {
		if b.Type == kind {
			return true
		}
	}
	return false
}
