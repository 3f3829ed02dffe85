package chat

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Canonical returns the one form of a conversation that is compared, hashed and
// written to the CLI. Two histories that mean the same to the model have the same
// form. Its rules:
//
//   - a system message becomes a user message of one block per text, in a fixed wrapper;
//   - neighbours of one role become one message: user blocks in order, assistant
//     messages' texts joined by a blank line;
//   - an assistant message is its texts concatenated in one block, then its calls in
//     their order; reasoning is left out, and so is a text of white space only or one
//     of the CLI's own words for nothing, "(no content)" and "[Empty text removed]";
//     a message with nothing left vanishes;
//   - before an assistant's opening stands a user message, "<conversation_start/>":
//     the Messages API wants the user's first, and a process can be cut before it;
//   - blank user text blocks beside others are dropped, and blank ones of a tool's
//     result even when nothing is left; all other user and tool text is kept to the byte;
//   - a user message begins with its tool results, in the order of their calls, as the
//     Messages API wants it; the rest follows in its own order;
//   - calls that share an id with an earlier one get another, and so do their results;
//   - tool arguments are a JSON object in canonical form (see CanonicalJSON).
//
// It refuses, naming the message in the error's Param: a user message with nothing to
// say, an assistant message last, a call without a result in the next message, a
// result without its call, and a second result for one call.
func Canonical(messages []Message) ([]Message, error) {
	if len(messages) == 0 {
		return nil, Invalid("messages", "must hold at least one message")
	}
	merged, from, err := merge(messages)
	if err != nil {
		return nil, err
	}
	last := len(merged) - 1
	if last < 0 || merged[last].Role != RoleUser {
		return nil, Invalid(at(len(messages)-1), "the last message must not be the assistant's: answers cannot be prefilled")
	}
	if err := checkCalls(merged, from); err != nil {
		return nil, err
	}
	distinctCalls(merged)
	for i := 1; i < len(merged); i++ {
		resultsFirst(merged[i].Content, merged[i-1].Content)
	}
	if merged[0].Role == RoleAssistant {
		merged = append([]Message{Text(RoleUser, opening)}, merged...)
	}
	return merged, nil
}

// opening stands for what an assistant's first message answers.
const opening = "<conversation_start/>"

// merge canonicalizes each message and joins neighbours of one role. from[i] has, for
// error messages, the index of the original message of each block in merged[i], in an
// assistant's of its first one. Texts of neighbouring assistants are joined once, at the
// end of their run: a run can be as long as a body.
func merge(messages []Message) (merged []Message, from [][]int, err error) {
	for i, m := range messages {
		m, err := canonicalMessage(m, i)
		if err != nil {
			return nil, nil, err
		}
		if len(m.Content) == 0 {
			continue
		}
		if n := len(merged); n > 0 && merged[n-1].Role == m.Role {
			merged[n-1].Content = append(merged[n-1].Content, m.Content...)
		} else {
			merged, from = append(merged, m), append(from, nil)
		}
		for range m.Content {
			from[len(from)-1] = append(from[len(from)-1], i)
		}
	}
	for i := range merged {
		if merged[i].Role == RoleAssistant {
			merged[i].Content = joinTexts(merged[i].Content)
		}
	}
	return merged, from, nil
}

func canonicalMessage(m Message, i int) (Message, error) {
	switch m.Role {
	case RoleUser:
		return canonicalUser(m, i)
	case RoleAssistant:
		return canonicalAssistant(m, i)
	case RoleSystem:
		return canonicalSystem(m, i)
	}
	return Message{}, Invalid(at(i)+".role", "unknown role %q", m.Role)
}

func canonicalUser(m Message, i int) (Message, error) {
	out := Message{Role: RoleUser}
	for _, b := range m.Content {
		if b.Type == BlockText && Blank(b.Text) {
			continue
		}
		if b.Type == BlockToolResult {
			b.Content = withoutBlanks(b.Content)
		}
		out.Content = append(out.Content, b)
	}
	if len(out.Content) == 0 {
		return out, Invalid(at(i)+".content", "must hold some text, a picture or a document")
	}
	return out, nil
}

// withoutBlanks returns the blocks without blank texts, nil for none.
func withoutBlanks(blocks []Block) (kept []Block) {
	for _, b := range blocks {
		if b.Type != BlockText || !Blank(b.Text) {
			kept = append(kept, b)
		}
	}
	return kept
}

func canonicalAssistant(m Message, i int) (Message, error) {
	out := Message{Role: RoleAssistant}
	var text strings.Builder
	for _, b := range m.Content {
		switch b.Type {
		case BlockText:
			text.WriteString(b.Text)
		case BlockToolUse:
			input, err := CanonicalJSON(b.Input)
			if err != nil || input[0] != '{' {
				return out, Invalid(at(i)+".tool_calls", "the arguments of call %s are not a JSON object", quoted(b.ID))
			}
			b.Input = input
			out.Content = append(out.Content, b)
		case BlockThinking:
		default:
			return out, Invalid(at(i)+".content", "an assistant message cannot hold a block of type %q", b.Type)
		}
	}
	if t := text.String(); !Blank(t) && !slices.Contains(nothings, trim(t)) {
		out.Content = append([]Block{{Type: BlockText, Text: t}}, out.Content...)
	}
	return out, nil
}

// nothings are what Claude Code 2.1.330 writes for texts that are empty or left out. As
// an assistant's, white space around it or not, such a text is left out of what the model
// sees, so it has no place in the canonical form.
var nothings = []string{"(no content)", "[Empty text removed]"}

// canonicalSystem turns a system message in mid-conversation into a user's: the model
// has one system prompt, and the place of a later instruction matters.
func canonicalSystem(m Message, i int) (Message, error) {
	out := Message{Role: RoleUser}
	for _, b := range m.Content {
		if b.Type != BlockText {
			return out, Invalid(at(i)+".content", "a system message can hold text only")
		}
		if !Blank(b.Text) {
			out.Content = append(out.Content, Block{Type: BlockText, Text: wrapSystem(b.Text)})
		}
	}
	return out, nil
}

func wrapSystem(text string) string {
	return "<system_message>\n" + text + "\n</system_message>"
}

// joinTexts returns an assistant's blocks as one text, its parts separated by a blank
// line, and the calls after it.
func joinTexts(content []Block) []Block {
	var texts []string
	out := make([]Block, 1, len(content)+1)
	for _, b := range content {
		if b.Type == BlockText {
			texts = append(texts, b.Text)
		} else {
			out = append(out, b)
		}
	}
	if len(texts) == 0 {
		return out[1:]
	}
	out[0] = Block{Type: BlockText, Text: strings.Join(texts, "\n\n")}
	return out
}

// checkCalls holds every call of an assistant message to one result in the next
// message, and every result to such a call.
func checkCalls(messages []Message, from [][]int) error {
	var open map[string]bool // calls of the message before; true once answered
	for i, m := range messages {
		if err := answer(open, m, from[i]); err != nil {
			return err
		}
		open = nil
		for _, b := range m.Content {
			if b.Type != BlockToolUse {
				continue
			}
			if open == nil {
				open = make(map[string]bool)
			}
			if _, twice := open[b.ID]; twice {
				return Invalid(at(from[i][0])+".tool_calls", "two calls have the id %s", quoted(b.ID))
			}
			open[b.ID] = false
		}
	}
	return nil
}

func answer(open map[string]bool, m Message, from []int) error {
	for i, b := range m.Content {
		if b.Type != BlockToolResult {
			continue
		}
		answered, known := open[b.ToolUseID]
		if !known {
			return Invalid(at(from[i])+".tool_call_id", "no call %s in the assistant message before", quoted(b.ToolUseID))
		}
		if answered {
			return Invalid(at(from[i])+".tool_call_id", "call %s has a result already", quoted(b.ToolUseID))
		}
		open[b.ToolUseID] = true
	}
	for id, answered := range open {
		if !answered {
			return Invalid(at(from[0]), "call %s of the assistant message before has no result", quoted(id))
		}
	}
	return nil
}

// quoted returns the client's id of a call for an error message, if it looks like one:
// it may be any text, and errors repeat none.
func quoted(id string) string {
	if id = ClientToolID(id); usualID.MatchString(id) {
		return strconv.Quote(id)
	}
	return `"…"`
}

var usualID = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// resultsFirst sorts a user's blocks: results in the order of the calls before, then
// the rest as it was.
func resultsFirst(content, before []Block) {
	order := make(map[string]int)
	for i, b := range before {
		if b.Type == BlockToolUse {
			order[b.ID] = i
		}
	}
	if len(order) == 0 {
		return
	}
	place := func(b Block) int {
		if b.Type == BlockToolResult {
			return order[b.ToolUseID]
		}
		return len(before)
	}
	slices.SortStableFunc(content, func(a, b Block) int { return cmp.Compare(place(a), place(b)) })
}

func at(i int) string { return fmt.Sprintf("messages[%d]", i) }

// Blank reports whether a text says nothing, which the Messages API refuses.
func Blank(s string) bool { return trim(s) == "" }

// trim takes off white space as ECMAScript and so the CLI understands it, and the next
// line character, which only Unicode counts in: whatever either drops is blank.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// CanonicalJSON rewrites a JSON value so that equal values have equal bytes: no white
// space, object keys sorted, numbers as the CLI rewrites them (IEEE 754 doubles in
// ECMAScript's form, Claude Code 2.1.330). Empty input is the empty object.
func CanonicalJSON(raw []byte) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{}"), nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	doubled, err := doubles(v)
	if err != nil {
		return nil, err
	}
	return encode(doubled)
}

// doubles replaces every number in v by the double that it reads as.
func doubles(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(v.String(), 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, fmt.Errorf("number %s is out of range", v)
		}
		if f == 0 {
			f = 0 // ECMAScript writes -0 as 0
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = doubles(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = doubles(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// encode is json.Marshal without HTML escapes and the final newline.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
