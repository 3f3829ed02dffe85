package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"maxrelay/api/content"
	"maxrelay/session/chat"
)

const hello = `"model":"claude-sonnet-4","messages":[{"role":"user","content":"hello"}]`

func TestDecodeConversation(t *testing.T) {
	user := func(texts ...string) chat.Message { return message(chat.RoleUser, texts...) }
	assistant := func(texts ...string) chat.Message { return message(chat.RoleAssistant, texts...) }
	for name, tc := range map[string]struct {
		messages string
		system   string
		want     []chat.Message
	}{
		"a string":                  {`[{"role":"user","content":"hi"}]`, "", []chat.Message{user("hi")}},
		"one text part":             {`[{"role":"user","content":[{"type":"text","text":"hi"}]}]`, "", []chat.Message{user("hi")}},
		"several text parts":        {`[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`, "", []chat.Message{user("a", "b")}},
		"escapes":                   {`[{"role":"user","content":"\"\\\u00e9\ud83d\ude00\n"}]`, "", []chat.Message{user("\"\\é😀\n")}},
		"a lone surrogate":          {`[{"role":"user","content":"a\ud83db"}]`, "", []chat.Message{user("a\ufffdb")}},
		"an escaped key":            {`[{"r\u006fle":"user","content":"hi"}]`, "", []chat.Message{user("hi")}},
		"the later of two members":  {`[{"role":"user","content":"a","content":"b"}]`, "", []chat.Message{user("b")}},
		"unknown members":           {`[{"role":"user","content":"hi","x":{"y":[1,{"z":"]}"}]}}]`, "", []chat.Message{user("hi")}},
		"an assistant's refusal":    {`[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"b"}]`, "", []chat.Message{user("a"), assistant("no"), user("b")}},
		"a refusal field":           {`[{"role":"user","content":"a"},{"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"b"}]`, "", []chat.Message{user("a"), assistant("no"), user("b")}},
		"an answer with nulls":      {`[{"role":"user","content":"a"},{"role":"assistant","content":"x","refusal":null,"tool_calls":null,"audio":null},{"role":"user","content":"b"}]`, "", []chat.Message{user("a"), assistant("x"), user("b")}},
		"an empty list of calls":    {`[{"role":"user","content":"a"},{"role":"assistant","content":"x","tool_calls":[ ]},{"role":"user","content":"b"}]`, "", []chat.Message{user("a"), assistant("x"), user("b")}},
		"a system prompt":           {`[{"role":"system","content":"be kind"},{"role":"user","content":"hi"}]`, "be kind", []chat.Message{message(chat.RoleSystem), user("hi")}},
		"two leading prompts":       {`[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},{"role":"user","content":"hi"}]`, "a\n\nb", []chat.Message{message(chat.RoleSystem), message(chat.RoleSystem), user("hi")}},
		"a blank prompt":            {`[{"role":"system","content":" "},{"role":"user","content":"hi"}]`, "", []chat.Message{message(chat.RoleSystem), user("hi")}},
		"a prompt in the middle":    {`[{"role":"user","content":"hi"},{"role":"developer","content":"be brief"}]`, "", []chat.Message{user("hi"), message(chat.RoleSystem, "be brief")}},
		"white space everywhere":    {" [ { \"role\" : \"user\" ,\n\"content\" :\t[ { \"type\":\"text\" , \"text\" : \"hi\" } ] } ] ", "", []chat.Message{user("hi")}},
		"quotes before backslashes": {`[{"role":"user","content":"a\\\\"},{"role":"user","content":"\\\""}]`, "", []chat.Message{user(`a\\`), user(`\"`)}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Decode([]byte(`{"model":"m","messages":` + tc.messages + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if r.System != tc.system {
				t.Errorf("system prompt %q, want %q", r.System, tc.system)
			}
			if !reflect.DeepEqual(r.Messages, tc.want) {
				t.Errorf("messages\n got %+v\nwant %+v", r.Messages, tc.want)
			}
		})
	}
}

func message(role chat.Role, texts ...string) chat.Message {
	m := chat.Message{Role: role}
	for _, text := range texts {
		m.Content = append(m.Content, content.Text(text))
	}
	return m
}

func TestDecodeParameters(t *testing.T) {
	for name, tc := range map[string]struct {
		params string
		want   Request
	}{
		"none":                 {``, Request{}},
		"streaming":            {`"stream":true,"stream_options":{"include_usage":true}`, Request{Stream: true, IncludeUsage: true}},
		"null options":         {`"stream":null,"stream_options":null,"user":null,"temperature":null,"n":null,"tools":null`, Request{}},
		"null inside options":  {`"stream_options":{"include_usage":null}`, Request{}},
		"user":                 {`"user":"u","safety_identifier":"s"`, Request{User: "u"}},
		"safety identifier":    {`"safety_identifier":"s"`, Request{User: "s"}},
		"accepted in silence":  {`"metadata":{"a":"b"},"store":true,"service_tier":"auto","prompt_cache_key":"k","parallel_tool_calls":false,"modalities":["text"],"future":[{}]`, Request{}},
		"what changes nothing": {`"n":1,"logprobs":false,"tools":[],"tool_choice":"auto","response_format":{"type":"text"},"stop":[]`, Request{}},
		"ignored penalties":    {`"presence_penalty":-2,"frequency_penalty":2,"logit_bias":{"50256":-100}`, Request{Ignored: []string{"frequency_penalty", "logit_bias", "presence_penalty"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(`{` + strings.TrimSuffix(hello+","+tc.params, ",") + `}`))
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Model, tc.want.N = "claude-sonnet-4", 1
			tc.want.Messages = []chat.Message{chat.Text(chat.RoleUser, "hello")}
			if !reflect.DeepEqual(*got, tc.want) {
				t.Errorf("got %+v, want %+v", *got, tc.want)
			}
		})
	}
}

func TestDecodeRefusesAndNamesTheField(t *testing.T) {
	const two = `"model":"m","messages":[{"role":"user","content":"a"},`
	for name, tc := range map[string]struct{ body, param string }{
		"nothing":                        {``, ""},
		"broken JSON":                    {`{"model":`, ""},
		"two values":                     {`{} {}`, ""},
		"an array":                       {`[]`, ""},
		"null":                           {`null`, ""},
		"not UTF-8":                      {"{\"model\":\"\xff\"}", ""},
		"no model":                       {`{"messages":[{"role":"user","content":"a"}]}`, "model"},
		"a blank model":                  {`{"model":" ","messages":[{"role":"user","content":"a"}]}`, "model"},
		"a number as model":              {`{"model":4}`, "model"},
		"no messages":                    {`{"model":"m"}`, "messages"},
		"null messages":                  {`{"model":"m","messages":null}`, "messages"},
		"messages as object":             {`{"model":"m","messages":{}}`, "messages"},
		"empty messages":                 {`{"model":"m","messages":[]}`, "messages"},
		"system alone":                   {`{"model":"m","messages":[{"role":"system","content":"a"}]}`, "messages"},
		"a message that is a string":     {`{` + two + `"b"]}`, "messages[1]"},
		"a message that is null":         {`{` + two + `null]}`, "messages[1]"},
		"no role":                        {`{` + two + `{"content":"b"}]}`, "messages[1].role"},
		"role of another type":           {`{` + two + `{"role":1}]}`, "messages[1].role"},
		"unknown role":                   {`{` + two + `{"role":"bot","content":"b"}]}`, "messages[1].role"},
		"function role":                  {`{` + two + `{"role":"function","name":"f","content":"b"}]}`, "messages[1].role"},
		"no content":                     {`{` + two + `{"role":"user"}]}`, "messages[1].content"},
		"null content":                   {`{` + two + `{"role":"user","content":null}]}`, "messages[1].content"},
		"content of another type":        {`{` + two + `{"role":"user","content":{}}]}`, "messages[1].content"},
		"a part that is a string":        {`{` + two + `{"role":"user","content":["b"]}]}`, "messages[1].content[0]"},
		"a part without type":            {`{` + two + `{"role":"user","content":[{"text":"b"}]}]}`, "messages[1].content[0].type"},
		"text of another type":           {`{` + two + `{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":1}]}]}`, "messages[1].content[1].text"},
		"a part without text":            {`{` + two + `{"role":"user","content":[{"type":"text"}]}]}`, "messages[1].content[0].text"},
		"audio":                          {`{` + two + `{"role":"user","content":[{"type":"input_audio"}]}]}`, "messages[1].content[0].type"},
		"an unknown part":                {`{` + two + `{"role":"user","content":[{"type":"hologram"}]}]}`, "messages[1].content[0].type"},
		"a user's refusal":               {`{` + two + `{"role":"user","content":[{"type":"refusal","refusal":"no"}]}]}`, "messages[1].content[0].type"},
		"a refusal of another type":      {`{` + two + `{"role":"assistant","refusal":1}]}`, "messages[1].refusal"},
		"tool calls of another type":     {`{` + two + `{"role":"assistant","tool_calls":"x"}]}`, "messages[1].tool_calls"},
		"a function call":                {`{` + two + `{"role":"assistant","function_call":{}}]}`, "messages[1].function_call"},
		"an audio answer":                {`{` + two + `{"role":"assistant","audio":{"id":"x"}}]}`, "messages[1].audio"},
		"stream of another type":         {`{` + hello + `,"stream":"yes"}`, "stream"},
		"stream options of another type": {`{` + hello + `,"stream_options":true}`, "stream_options"},
		"include_usage of another type":  {`{` + hello + `,"stream_options":{"include_usage":1}}`, "stream_options.include_usage"},
		"user of another type":           {`{` + hello + `,"user":7}`, "user"},
		"logprobs":                       {`{` + hello + `,"logprobs":true}`, "logprobs"},
		"top_logprobs":                   {`{` + hello + `,"top_logprobs":2}`, "logprobs"},
		"functions":                      {`{` + hello + `,"functions":[]}`, "functions"},
		"function_call":                  {`{` + hello + `,"function_call":"auto"}`, "function_call"},
		"tools of another type":          {`{` + hello + `,"tools":{}}`, "tools"},
		"tool_choice required":           {`{` + hello + `,"tool_choice":"required"}`, "tool_choice"},
		"tool_choice by name":            {`{` + hello + `,"tool_choice":{"type":"function"}}`, "tool_choice"},
		"no answer":                      {`{` + hello + `,"n":0}`, "n"},
		"too many answers":               {`{` + hello + `,"n":9}`, "n"},
		"a format without type":          {`{` + hello + `,"response_format":{}}`, "response_format.type"},
		"audio modality":                 {`{` + hello + `,"modalities":["text","audio"]}`, "modalities[1]"},
		"audio output":                   {`{` + hello + `,"audio":{"voice":"alloy"}}`, "audio"},
		"no tokens":                      {`{` + hello + `,"max_tokens":0}`, "max_tokens"},
		"half a token":                   {`{` + hello + `,"max_completion_tokens":1.5}`, "max_completion_tokens"},
		"tokens as text":                 {`{` + hello + `,"max_tokens":"10"}`, "max_tokens"},
		"too hot":                        {`{` + hello + `,"temperature":2.1}`, "temperature"},
		"temperature without end":        {`{` + hello + `,"temperature":1e999}`, "temperature"},
		"negative top_p":                 {`{` + hello + `,"top_p":-0.1}`, "top_p"},
		"a penalty too large":            {`{` + hello + `,"presence_penalty":3}`, "presence_penalty"},
		"five stops":                     {`{` + hello + `,"stop":["a","b","c","d","e"]}`, "stop"},
		"an empty stop":                  {`{` + hello + `,"stop":["a",""]}`, "stop[1]"},
		"a stop that is null":            {`{` + hello + `,"stop":[null]}`, "stop[0]"},
		"stop of another type":           {`{` + hello + `,"stop":1}`, "stop"},
		"unknown effort":                 {`{` + hello + `,"reasoning_effort":"huge"}`, "reasoning_effort"},
		"a broken seed":                  {`{` + hello + `,"seed":0.5}`, "seed"},
		"logit_bias of another type":     {`{` + hello + `,"logit_bias":[1]}`, "logit_bias"},
		"parallel_tool_calls as text":    {`{` + hello + `,"parallel_tool_calls":"no"}`, "parallel_tool_calls"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(tc.body))
			e, ok := errors.AsType[*chat.Error](err)
			if !ok {
				t.Fatalf("error %v of type %T, want a *chat.Error", err, err)
			}
			if e.Code != chat.CodeInvalid || e.Param != tc.param {
				t.Errorf("code %s, param %q, want param %q (%s)", e.Code, e.Param, tc.param, e.Message)
			}
		})
	}
}

func TestErrorsOfTheCanonicalFormNameTheClientsIndex(t *testing.T) {
	r, err := Decode([]byte(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"user","content":" "}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = chat.Canonical(r.Messages)
	if e, ok := errors.AsType[*chat.Error](err); !ok || e.Param != "messages[2].content" {
		t.Errorf("error %v, want one at messages[2].content", err)
	}
}

func TestErrorsRepeatNoPromptText(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"SECRET","content":"SECRET"}]}`,
		`{"model":"m","messages":[{"role":"user","content":[{"type":"SECRET"}]}]}`,
		`{"model":"m","messages":[{"role":"user","content":"SECRET"`,
		`{"model":"m","messages":["SECRET"]}`,
		`{` + hello + `,"reasoning_effort":"SECRET"}`,
		`{` + hello + `,"tool_choice":"SECRET"}`,
	} {
		if _, err := Decode([]byte(body)); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: error %v", body, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{` + hello + `}`,
		`{` + hello + `,"stream":true,"stop":["a"],"temperature":1e0,"user":"\u0000"}`,
		`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a\\\""}]},{"role":"assistant","content":null,"refusal":"r"},{"role":"developer","content":"d"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"\ud800"}],"x":[[],{},"\\",-0.1e+5]}`,
		`{"model":"m","messages":[{"role":"user","name":"bob","content":[{"type":"image_url","image_url":"data:image/png;base64,` + dot + `"},{"type":"image_url","image_url":{"url":"https://a/b"}}]}]}`,
		`{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a","file_data":"JVBERi0"}},{"type":"file","file":{"file_data":"data:text/plain;base64,aGk_"}}]}]}`,
		`{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"` + dot + `"}},{"type":"document","title":"t","source":{"type":"text","data":"d"}}]}]}`,
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"a.b","type":"function","function":{"name":"f","arguments":"{\"a\":1.0}"}}]},{"role":"tool","tool_call_id":"a.b","content":[{"type":"text","text":"r"}]}]}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Decode(body)
		if err != nil {
			if _, ok := errors.AsType[*chat.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		again, err := Decode(encodeRequest(t, r))
		if err != nil {
			t.Fatalf("accepted input is refused when encoded again: %v", err)
		}
		if again.Model != r.Model || again.User != r.User || again.System != r.System || dump(again.Messages) != dump(r.Messages) {
			t.Fatalf("another conversation:\n%s\n%s", dump(r.Messages), dump(again.Messages))
		}
	})
}

// dump shows messages without the places that errors would name.
func dump(messages []chat.Message) string {
	var blocks func([]chat.Block) []chat.Block
	blocks = func(bs []chat.Block) (out []chat.Block) {
		for _, b := range bs {
			if b.Source != nil {
				own := *b.Source
				own.At = ""
				b.Source = &own
			}
			b.Content = blocks(b.Content)
			out = append(out, b)
		}
		return out
	}
	var out []chat.Message
	for _, m := range messages {
		out = append(out, chat.Message{Role: m.Role, Content: blocks(m.Content)})
	}
	text, _ := json.Marshal(out)
	return string(text)
}

// encodeRequest writes a request as a client would.
func encodeRequest(t *testing.T, r *Request) []byte {
	var messages []map[string]any
	for i, m := range r.Messages {
		message := map[string]any{"role": m.Role}
		if m.Content == nil && m.Role == chat.RoleSystem && r.System != "" && i == 0 {
			m.Content = []chat.Block{content.Text(r.System)}
		}
		if len(m.Content) == 1 && m.Content[0].Type == chat.BlockToolResult {
			message["role"], message["tool_call_id"] = "tool", chat.ClientToolID(m.Content[0].ToolUseID)
			m.Content = m.Content[0].Content
		}
		parts, calls := []any{}, []any{}
		for _, b := range m.Content {
			if b.Type == chat.BlockToolUse {
				calls = append(calls, map[string]any{"id": chat.ClientToolID(b.ID), "type": "function",
					"function": map[string]any{"name": chat.ClientToolName(b.Name), "arguments": string(b.Input)}})
				continue
			}
			parts = append(parts, encodePart(b))
		}
		message["content"], message["tool_calls"] = parts, calls
		messages = append(messages, message)
	}
	body, err := json.Marshal(map[string]any{"model": r.Model, "user": r.User, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// encodePart writes a block in the Messages API's form, which parts may have, but for
// a PDF as a file.
func encodePart(b chat.Block) any {
	if b.Source == nil {
		return map[string]any{"type": "text", "text": b.Text}
	}
	return map[string]any{"type": b.Type, "title": b.Title, "context": b.Context, "source": map[string]any{
		"type": b.Source.Type, "media_type": b.Source.MediaType, "data": b.Source.Data, "url": b.Source.URL}}
}

func BenchmarkDecodeLargeBody(b *testing.B) {
	var body bytes.Buffer
	body.WriteString(`{"model":"m","messages":[`)
	for i := range 500 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`{"role":"user","content":[{"type":"text","text":"` + strings.Repeat(`some words and a line\n`, 4700) + `"}]}`)
	}
	body.WriteString(`]}`)
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
