package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// refusal is a place that takes no text at all, or not every one.
type refusal struct {
	param   string
	refuses func(text string) bool
	members string // of a request, with a verb where the text's JSON stands
}

// refusals are a field each. What spots and members do not take is here.
var refusals = []refusal{
	{"messages[0].role", every, messages(`{"role":%s,"content":"q"}`)},
	{"messages[0].name", not(isSpeaker), messages(`{"role":"user","name":%s,"content":"q"}`)},
	{"messages[0].content", not(visible), userSays(`%s`)},
	{"messages[0].content", not(visible), userSays(`[{"type":"text","text":%s}]`)},
	{"messages[0].content[0].type", every, userSays(`[{"type":%s,"text":"q"}]`)},
	{"messages[0].content[0].image_url.url", not(isAddress), userSays(`[{"type":"image_url","image_url":{"url":%s}}]`)},
	{"messages[0].content[0].source.url", not(isAddress), userSays(`[{"type":"image","source":{"type":"url","url":%s}}]`)},
	{"messages[0].content[0].source.data", every, userSays(`[{"type":"image","source":{"type":"base64","media_type":"image/png","data":%s}}]`)},
	{"messages[0].content[0].source.type", not(among("text", "url", "base64")), userSays(`[{"type":"document","source":{"type":%s,"data":"x"}}]`)},
	{"messages[0].content[0].source.data", not(visible), userSays(`[{"type":"document","source":{"type":"text","data":%s}}]`)},
	{"messages[0].content[0].title", isLongTitle, userSays(`[{"type":"document","source":{"type":"text","data":"x"},"title":%s}]`)},
	{"messages[0].content[0].file.filename", isLongTitle, userSays(`[{"type":"file","file":{"filename":%s,"file_data":"eA=="}}]`)},
	{"messages[0].content[0].file.file_data", not(isBase64), userSays(`[{"type":"file","file":{"file_data":%s}}]`)},
	{"messages[0].content[0].file.file_id", every, userSays(`[{"type":"file","file":{"file_id":%s}}]`)},
	{"messages[1].tool_calls[0].id", not(isID), messages(asks + `{"role":"assistant","tool_calls":[{"id":%s,"function":{"name":"f","arguments":"{}"}}]},` + answers)},
	{"messages[1].tool_calls[0].type", every, messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","type":%s,"function":{"name":"f","arguments":"{}"}}]},` + answers)},
	{"messages[1].tool_calls[0].function.name", not(isName), messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","function":{"name":%s,"arguments":"{}"}}]},` + answers)},
	{"messages[1].tool_calls[0].function.arguments", not(isObject), messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":%s}}]},` + answers)},
	{"messages[1].tool_call_id", every, messages(asks + `{"role":"tool","tool_call_id":%s,"content":"r"}`)},
	{"tools", every, `"tools":%s`},
	{"tools[0].type", every, `"tools":[{"type":%s,"function":{"name":"f"}}]`},
	{"tools[0].function.name", not(isName), withTool(`{"name":%s}`)},
	{"tools[0].function.parameters", every, withTool(`{"name":"f","parameters":%s}`)},
	{"tools[0].function.parameters", not(among("null")), withTool(`{"name":"f","parameters":{"type":%s}}`)},
	{"tools[0].function.parameters.required", every, withTool(`{"name":"f","parameters":{"type":"object","required":%s}}`)},
	{"tool_choice", every, two + `,"tool_choice":%s`},
	{"tool_choice.type", every, two + `,"tool_choice":{"type":%s}`},
	{"tool_choice.function.name", every, two + `,"tool_choice":{"type":"function","function":{"name":%s}}`},
	{"response_format", every, `"response_format":%s`},
	{"response_format.type", every, `"response_format":{"type":%s}`},
	{"response_format.json_schema.name", not(isFormatName), `"response_format":{"type":"json_schema","json_schema":{"name":%s,"schema":{}}}`},
	{"response_format.json_schema.schema", not(among("null")), schemaFormat(`{"type":%s}`, ``)},
	{"response_format.json_schema.schema", not(among("", "#")), schemaFormat(`{"$ref":%s}`, ``)},
	{"stop", func(s string) bool { return s == "" || len(s) > 4096 }, `"stop":%s`},
	{"model", func(s string) bool { return strings.TrimSpace(s) == "" }, `"model":%s`},
	{"user", every, `"user":{"name":%s}`},
	{"stream", every, `"stream":%s`},
	{"stream_options", every, `"stream_options":%s`},
	{"n", every, `"n":%s`},
	{"max_tokens", every, `"max_tokens":%s`},
	{"temperature", every, `"temperature":%s`},
	{"seed", every, `"seed":%s`},
	{"reasoning_effort", every, `"reasoning_effort":%s`},
	{"verbosity", every, `"verbosity":%s`},
	{"modalities[0]", every, `"modalities":[%s]`},
	{"logprobs", every, `"top_logprobs":%s`},
	{"audio", every, `"audio":%s`},
	{"functions", every, `"functions":[%s]`},
	{"function_call", every, `"function_call":%s`},
}

func not(f func(string) bool) func(string) bool { return func(s string) bool { return !f(s) } }

func among(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

func isLongTitle(s string) bool { return utf8.RuneCountInString(s) > 500 }

// isBase64 is what may be base64, of whatever.
func isBase64(s string) bool {
	return strings.TrimFunc(s, func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+/-_= \t\r\n", r)
	}) == "" && strings.Trim(s, " \t\r\n=") != ""
}

// refuse sends a text where it is refused, to one in four of those places in turn. No
// such request reaches the model, and no answer repeats the text.
func (b *stage) refuse(t *testing.T, text string, serial int) {
	t.Helper()
	b.model.Reset()
	for i, r := range refusals {
		if (i+serial)%4 == 0 && r.refuses(text) {
			b.refused[i].Add(1)
			b.mustRefuse(t, http.StatusBadRequest, r.param, text, fmt.Sprintf(r.members, encoded(text)))
		}
	}
	if strings.TrimSpace(text) != "" {
		b.mustRefuse(t, http.StatusNotFound, "model", text, `"model":`+encoded(text))
	}
	if n := len(b.model.Requests()); n > 0 {
		t.Errorf("the model was asked %d times by requests that were refused", n)
	}
}

func (b *stage) mustRefuse(t *testing.T, status int, param, text, members string) {
	t.Helper()
	r := b.request(t, http.MethodPost, "/v1/chat/completions", `{"model":"claude-sonnet-4","messages":[{"role":"user","content":"q"}],`+members+`}`)
	got, body := b.fetch(t, r)
	var e struct{ Error apiError }
	if err := json.Unmarshal(body, &e); err != nil || got.StatusCode != status || e.Error.Param != param || !strings.HasPrefix(e.Error.Message, param+": ") {
		t.Errorf("%s: status %d, %s; want %d, param %q", clip(members), got.StatusCode, clip(string(body)), status, param)
	}
	mustNotRepeat(t, body, text)
}

// mustNotRepeat passes over what any message may say, and the ids of calls, which are
// told where they look like ids.
func mustNotRepeat(t *testing.T, body []byte, text string) {
	t.Helper()
	if len(text) > 8 && !strings.Contains(string(body), "tool_call_id") && bytes.Contains(body, []byte(strings.Trim(encoded(text), `"`))) {
		t.Errorf("an error repeats the text: %s", clip(string(body)))
	}
}

// fetch reads an answer. Its client keeps its connections.
func (b *stage) fetch(t *testing.T, r *http.Request) (*http.Response, []byte) {
	t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func (b *stage) request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+paramKey)
	return r
}

// inHeaders sends a text in every header that is read, in the path, as a key, and as the
// whole body.
func (b *stage) inHeaders(t *testing.T, text string) {
	t.Helper()
	r := b.request(t, http.MethodGet, "/v1/models/"+url.PathEscape(text), "")
	if got, body := b.fetch(t, r); got.StatusCode != http.StatusNotFound {
		t.Errorf("a model of that id: status %d", got.StatusCode)
	} else {
		mustNotRepeat(t, body, text)
	}
	if got, body := b.fetch(t, b.request(t, http.MethodPost, "/v1/chat/completions", text)); got.StatusCode != http.StatusBadRequest {
		t.Errorf("as the body: status %d", got.StatusCode)
	} else {
		mustNotRepeat(t, body, text)
	}
	if !isHeader(text) || len(text) > 1000 { // net/http's own answer then is 431
		return
	}
	r = b.request(t, http.MethodGet, "/v1/models?"+url.QueryEscape(text)+"="+url.QueryEscape(text), "")
	if !isRequestID(text) { // one that looks like an id is kept
		r.Header.Set("X-Request-Id", text)
	}
	for _, name := range []string{"User-Agent", "Cookie", "Referer", "Origin", "X-Forwarded-For", "Forwarded", "Accept", "Traceparent", "X-Maxrelay-Strict", "Openai-Organization", "Content-Type"} {
		r.Header.Set(name, text)
	}
	got, _ := b.fetch(t, r)
	if got.StatusCode != http.StatusOK {
		t.Errorf("in headers: status %d", got.StatusCode)
	}
	if id := got.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") {
		t.Errorf("the id of the request is %q", id)
	}
	if len(text) > 8 && strings.Contains(fmt.Sprint(got.Header), text) {
		t.Errorf("a header repeats the text: %v", got.Header)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + text, "X-Api-Key": text} {
		r := b.request(t, http.MethodGet, "/v1/models", "")
		r.Header.Del("Authorization")
		r.Header.Set(name, value)
		if got, body := b.fetch(t, r); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("as the key: status %d", got.StatusCode)
		} else {
			mustNotRepeat(t, body, text)
		}
	}
}

// isHeader is what can be the value of a header, RFC 9110 section 5.5.
func isHeader(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func isRequestID(s string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`).MatchString(strings.TrimSpace(s))
}
