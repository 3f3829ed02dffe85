package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
)

// spot is a place in a conversation: what a client writes to put a text there, and what
// the model must be shown, both as messages. What says nothing to the model shows none.
type spot struct {
	name   string
	takes  func(text string) bool // what it does not take is refused: see refusals
	client func(text string) string
	shown  func(text string) string
}

// spots make one conversation when they are put one behind the other. Few of a user's
// messages stand apart: each that a process is told costs it some milliseconds.
var spots = []spot{
	{"parts of a user's message", every,
		func(s string) string { return says("user", textParts(s, "between", s)) },
		func(s string) string { return says("user", textBlocks(s, "between", s)) }},
	{"an answer", every,
		func(s string) string { return says("assistant", encoded(s)) },
		answerOf},
	{"a user's message", visible,
		func(s string) string { return says("user", encoded(s)) },
		func(s string) string { return says("user", textBlocks(s)) }},
	{"an answer in parts, and its refusal", every,
		func(s string) string {
			return fmt.Sprintf(`{"role":"assistant","content":[{"type":"text","text":"It is "},{"type":"text","text":%s},{"type":"refusal","refusal":%[1]s}],"refusal":%[1]s}`, encoded(s))
		},
		func(s string) string { return says("assistant", textBlocks("It is "+s+s+s)) }},
	{"system and developer messages in between", every,
		func(s string) string { return says("system", encoded(s)) + "," + says("developer", textParts(s)) },
		func(s string) string {
			if !visible(s) {
				return ""
			}
			return says("user", textBlocks(wrapped(s), wrapped(s)))
		}},
	{"calls and their results", every, calledBy, shownCalls},
	{"reasoning, and members nobody knows", every,
		func(s string) string {
			return fmt.Sprintf(`{"role":"assistant","content":"Reasoned.","reasoning_content":%s,%s:%[1]s,"annotations":[%[1]s]}`, encoded(s), encoded("x-"+s))
		},
		func(string) string { return says("assistant", textBlocks("Reasoned.")) }},
	{"a speaker's name", isSpeaker,
		func(s string) string {
			return fmt.Sprintf(`{"role":"user","name":%s,"content":"I am named."}`, encoded(s))
		},
		func(s string) string { return says("user", textBlocks("<name>"+s+"</name>", "I am named.")) }},
	{"what a picture is said to be", every,
		func(s string) string {
			return says("user", fmt.Sprintf(`[{"type":"image","source":{"type":"base64","media_type":%s,"data":%q},"title":%[1]s,"cache_control":%[1]s},`+
				`{"type":"image_url","image_url":{"url":"data:image/png;base64,%[2]s","detail":%[1]s}}]`, encoded(s), dot))
		},
		func(string) string { return says("user", "["+picture+","+picture+"]") }},
	{"a picture's address", isAddress,
		func(s string) string {
			return says("user", fmt.Sprintf(`[{"type":"image_url","image_url":{"url":%s}},{"type":"document","source":{"type":"url","url":%[1]s}}]`, encoded(s)))
		},
		func(s string) string {
			return says("user", fmt.Sprintf(`[{"type":"image","source":{"type":"url","url":%s}},{"type":"document","source":{"type":"url","url":%[1]s}}]`, encoded(s)))
		}},
	{"a document", isText,
		func(s string) string {
			return says("user", fmt.Sprintf(`[{"type":"file","file":{"file_data":"data:text/plain;base64,%s"}},{"type":"document","source":{"type":"text","data":%s,"media_type":%[2]s}}]`,
				base64.StdEncoding.EncodeToString([]byte(s)), encoded(s)))
		},
		func(s string) string { return says("user", "["+document(s, "")+","+document(s, "")+"]") }},
	{"a file's name, a document's title and context", isTitle,
		func(s string) string {
			return says("user", fmt.Sprintf(`[{"type":"file","file":{"filename":%s,"file_data":"cGxhaW4="}},{"type":"document","source":{"type":"text","data":"plain"},"title":%[1]s,"context":%[1]s}]`, encoded(s)))
		},
		func(s string) string {
			return says("user", "["+document("plain", `,"title":`+encoded(s))+","+document("plain", `,"title":`+encoded(s)+`,"context":`+encoded(s))+"]")
		}},
	{"the last words", every,
		func(s string) string { return says("user", textParts("And this?", s)) },
		func(s string) string { return says("user", textBlocks("And this?", s)) }},
}

func every(string) bool { return true }

// visible is what says something.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsSpace(r) && r != '\ufeff' })
}

func isID(s string) bool { return s != "" && len(s) <= 2048 }

// isName is what can name a function: it fits into 128 bytes with whatever the Messages
// API does not take in a name written in three.
func isName(s string) bool { return s != "" && len(chat.ToolName(s)) <= 128 }

// isSpeaker is OpenAI's rule.
func isSpeaker(s string) bool { return regexp.MustCompile(`^[^\s<|\\/>]{1,64}$`).MatchString(s) }

// isAddress is one that is passed on.
func isAddress(s string) bool {
	return strings.HasPrefix(s, "http") && strings.Contains(s, "://") && !strings.ContainsAny(s, "@ \n")
}

func isObject(s string) bool {
	var o map[string]any
	return strings.TrimSpace(s) == "" || json.Unmarshal([]byte(s), &o) == nil && o != nil
}

func isText(s string) bool { return visible(s) && !strings.Contains(s, "\x00") }

func isTitle(s string) bool { return visible(s) && utf8.RuneCountInString(s) <= 500 }

func says(role, content string) string {
	return fmt.Sprintf(`{"role":%q,"content":%s}`, role, content)
}

// textParts are the text parts of a client's message.
func textParts(texts ...string) string {
	list := []string{}
	for _, s := range texts {
		list = append(list, `{"type":"text","text":`+encoded(s)+`}`)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// textBlocks are the model's for them: those that say nothing are left out.
func textBlocks(texts ...string) string {
	list := []string{}
	for _, s := range texts {
		if visible(s) {
			list = append(list, s)
		}
	}
	return textParts(list...)
}

// answerOf is an answer as the model is shown it: a blank vanishes, and so do the CLI's
// own words for one.
func answerOf(s string) string {
	if !visible(s) || slices.Contains([]string{"(no content)", "[Empty text removed]"}, strings.TrimSpace(s)) {
		return ""
	}
	return says("assistant", textBlocks(s))
}

func wrapped(s string) string { return "<system_message>\n" + s + "\n</system_message>" }

func document(text, more string) string {
	return `{"type":"document","source":{"type":"text","media_type":"text/plain","data":` + encoded(text) + `}` + more + `}`
}

// callOf is a call in one answer with others, and its result.
type callOf struct {
	id, name, arguments string
	input               string // the arguments as the model is shown them
	result              []string
}

// callsWith are calls with a text in each of their places that takes it.
func callsWith(s string) []callOf {
	list := []callOf{
		{"c1", "f", encodedArguments(s), encodedArguments(s), []string{s}},
		{"c2", "f", "", "{}", []string{s, "between", s}},
	}
	if isID(s) {
		list = append(list, callOf{s, "f", "{}", "{}", []string{"done"}})
	}
	if isName(s) {
		list = append(list, callOf{"c3", s, "{}", "{}", []string{"done"}})
	}
	if isObject(s) {
		list = append(list, callOf{"c4", "f", s, string(squeeze(json.RawMessage(cmp.Or(strings.TrimSpace(s), "{}")))), []string{"done"}})
	}
	return list
}

func encodedArguments(s string) string {
	return ecmaJSON(map[string]any{"a": s, "b": []any{s}, "x-" + s: 1})
}

// ecmaJSON is JSON to the byte as the CLI writes it again.
func ecmaJSON(v any) string {
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(string(wire.Canonical(v)))
}

// calledBy is the calls and results as a client writes them.
func calledBy(s string) string {
	var calls, results []string
	for _, c := range callsWith(s) {
		content := textParts(c.result...)
		if len(c.result) == 1 {
			content = encoded(c.result[0])
		}
		calls = append(calls, fmt.Sprintf(`{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}`, encoded(c.id), encoded(c.name), encoded(c.arguments)))
		results = append(results, resulted(c.id, content))
	}
	return `{"role":"assistant","content":null,"tool_calls":[` + strings.Join(calls, ",") + `]},` + strings.Join(results, ",")
}

func resulted(id, content string) string {
	return fmt.Sprintf(`{"role":"tool","tool_call_id":%s,"content":%s}`, encoded(id), content)
}

// shownCalls is what the model is shown of them.
func shownCalls(s string) string {
	var calls, results []string
	for _, c := range callsWith(s) {
		calls = append(calls, use(chat.ToolID(c.id), chat.ToolName(c.name), c.input))
		results = append(results, resultOf(chat.ToolID(c.id), c.result...))
	}
	return says("assistant", "["+strings.Join(calls, ",")+"]") + "," + says("user", "["+strings.Join(results, ",")+"]")
}

func use(id, name, input string) string {
	return fmt.Sprintf(`{"type":"tool_use","id":%q,"name":%q,"input":%s}`, id, name, input)
}

func resultOf(id string, texts ...string) string {
	content := ""
	if b := textBlocks(texts...); b != "[]" {
		content = `,"content":` + b
	}
	return fmt.Sprintf(`{"type":"tool_result","tool_use_id":%q%s}`, id, content)
}

var propertyName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)
