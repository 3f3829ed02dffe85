package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"maxrelay/session/anthropictest"
)

// The model's answer and counts for every request of an SDK.
var sdkUsage = anthropictest.Usage{InputTokens: 11, CacheReadInputTokens: 7, CacheCreationInputTokens: 5, OutputTokens: 3}

const sdkAnswer = "Hello from the model."

func sdkSite(t *testing.T) (*site, *proc) {
	s := newSite(t)
	s.model.Script(func(anthropictest.Request) *anthropictest.Reply {
		r := anthropictest.Say("Hello ", "from ", "the model.").WithUsage(sdkUsage)
		return &r
	})
	return s, s.start("serve", servesHTTP, realCLI, "serve")
}

type sdkCounts struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
	Details    struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

func (c sdkCounts) mustBeTheModels(t *testing.T, where string) {
	t.Helper()
	want := sdkCounts{Prompt: 23, Completion: 3, Total: 26}
	want.Details.Cached = 7
	if c != want {
		t.Errorf("%s: usage %+v, the model counted %+v", where, c, want)
	}
}

func TestOpenAIForNode(t *testing.T) {
	s, p := sdkSite(t)
	script := filepath.Join("..", "..", "api", "testdata", "sdk", "openai.mjs")
	if _, err := os.Stat(filepath.Join(filepath.Dir(script), "node_modules", "openai")); err != nil {
		t.Fatal("the SDK is not installed: run `make sdk`")
	}
	cmd := exec.Command("node", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "BASE_URL=" + p.url + "/v1"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	type reply struct {
		Text, Finish, Model, Session, RequestID string
		Usage                                   sdkCounts
	}
	type failure struct {
		Name, Code, Param, Type string
		Status                  int
	}
	var got struct {
		Whole, Stream, Helper reply
		Models                []string
		Model                 string
		UnknownModel          failure
		BadMessage            failure
		Aborted               bool
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]reply{"create": got.Whole, "create stream": got.Stream} {
		if r.Text != sdkAnswer || r.Finish != "stop" {
			t.Errorf("%s: %+v", name, r)
		}
		r.Usage.mustBeTheModels(t, name)
	}
	if got.Whole.Model != "claude-sonnet-4" || got.Whole.Session != "new" || got.Whole.RequestID == "" {
		t.Errorf("create: %+v", got.Whole)
	}
	if got.Helper.Text != sdkAnswer {
		t.Errorf("the stream helper gathered %q", got.Helper.Text)
	}
	if !slices.Contains(got.Models, "claude-opus-4") || !slices.Contains(got.Models, "sonnet") || got.Model != "claude-sonnet-4" {
		t.Errorf("models %q, retrieved %q", got.Models, got.Model)
	}
	if want := (failure{Name: "NotFoundError", Status: 404, Code: "model_not_found", Type: "invalid_request_error"}); got.UnknownModel != want {
		t.Errorf("an unknown model: %+v, want %+v", got.UnknownModel, want)
	}
	if want := (failure{Name: "BadRequestError", Status: 400, Param: "messages[0].content", Type: "invalid_request_error"}); got.BadMessage != want {
		t.Errorf("a wrong message: %+v, want %+v", got.BadMessage, want)
	}
	if !got.Aborted {
		t.Error("a stream could not be aborted")
	}
	if sys := anthropictest.System(s.model.Requests()[0]); !slices.Equal(sys, []string{"Be brief."}) {
		t.Errorf("the model's system prompt was %q", sys)
	}
}

func TestOpenAIForGo(t *testing.T) {
	_, p := sdkSite(t)
	c := openai.NewClient(option.WithBaseURL(p.url+"/v1"), option.WithAPIKey("not-needed"), option.WithMaxRetries(0), option.WithHTTPClient(client))
	params := openai.ChatCompletionNewParams{Model: "claude-sonnet-4",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.DeveloperMessage("Be brief."), openai.UserMessage("Hello")}}

	whole, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if m := whole.Choices[0]; m.Message.Content != sdkAnswer || m.FinishReason != "stop" {
		t.Errorf("answer %+v", m)
	}
	goCounts(whole.Usage).mustBeTheModels(t, "New")

	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := c.Chat.Completions.NewStreaming(t.Context(), params)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Error("a chunk does not fit the ones before it")
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if sum.Choices[0].Message.Content != sdkAnswer {
		t.Errorf("streamed %q", sum.Choices[0].Message.Content)
	}
	goCounts(sum.Usage).mustBeTheModels(t, "NewStreaming")
}

func goCounts(u openai.CompletionUsage) (c sdkCounts) {
	c.Prompt, c.Completion, c.Total = int(u.PromptTokens), int(u.CompletionTokens), int(u.TotalTokens)
	c.Details.Cached = int(u.PromptTokensDetails.CachedTokens)
	return c
}

func TestCurl(t *testing.T) {
	_, p := sdkSite(t)
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"stream": {`{"model":"claude-sonnet-4","stream":true,"messages":[{"role":"user","content":"Hello"}]}`,
			[]string{`"delta":{"role":"assistant"`, `"content":"from "`, `"finish_reason":"stop"`, "data: [DONE]\n\n"}},
		"whole": {`{"model":"claude-sonnet-4","messages":[{"role":"user","content":"Hello"}]}`,
			[]string{`"object":"chat.completion"`, `"content":"` + sdkAnswer + `"`, `"total_tokens":26`}},
		"error": {`{"model":"claude-sonnet-4","messages":[]}`, []string{`"type":"invalid_request_error"`, `"param":"messages"`}},
	} {
		out, err := exec.Command("curl", "-sN", p.url+"/v1/chat/completions", "-H", "Content-Type: application/json", "-d", tc.body).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range tc.want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: no %s in\n%s", name, w, out)
			}
		}
	}
	resp, err := client.Get(p.url + "/health")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("health: %v, %v", resp, err)
	}
	resp.Body.Close()
}
