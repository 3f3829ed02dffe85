package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func testOpenAIForGo(t *testing.T, b *sdkBench) {
	c := openai.NewClient(option.WithBaseURL(b.url()), option.WithAPIKey(sdkKey), option.WithMaxRetries(0), option.WithHTTPClient(client))
	g := &goClient{t: t, c: c}

	goReply(g.whole(goQuestion("hello for go"))).mustBeTheHello(t, "New")
	sum := g.stream(goQuestion("hello for go streamed"))
	goReply(&sum.ChatCompletion).mustBeTheHello(t, "NewStreaming")

	b.mustHaveTravelled(t, "go", g.travel("trip for go", g.whole))
	b.mustHaveTravelled(t, "go streamed", g.travel("trip for go streamed", func(p openai.ChatCompletionNewParams) *openai.ChatCompletion {
		return &g.stream(p).ChatCompletion
	}))

	city := goQuestion("city for go")
	city.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "city", Strict: openai.Bool(true), Schema: json.RawMessage(citySchema)},
	}
	mustBeTheCity(t, "a format", json.RawMessage(g.whole(city).Choices[0].Message.Content))
	b.mustHaveForced(t, "city for go")

	two := goQuestion("coin for go")
	two.N = openai.Int(2)
	goSeveral(g.whole(two)).mustBeTwoCoins(t, "N = 2")
	goSeveral(&g.stream(two).ChatCompletion).mustBeTwoCoins(t, "N = 2, streamed")

	_, err := c.Chat.Completions.New(t.Context(), goQuestion("limited for go"))
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusTooManyRequests || e.Code != "rate_limit_exceeded" {
		t.Errorf("a rate limit: %v", err)
	}
	breaking := c.Chat.Completions.NewStreaming(t.Context(), goQuestion("broken for go"))
	for breaking.Next() {
	}
	if breaking.Err() == nil {
		t.Error("a break in a stream is no error")
	}
}

const citySchema = `{"type":"object","additionalProperties":false,"required":["name","sights","river"],"properties":{"name":{"type":"string"},
	"river":{"type":["string","null"]},"sights":{"type":"array","maxItems":9,"items":{"$ref":"#/$defs/sight"}}},
	"$defs":{"sight":{"type":"object","additionalProperties":false,"required":["title","year"],
	"properties":{"title":{"type":"string"},"year":{"type":"integer"}}}}}`

// goClient is OpenAI's library for Go as a program uses it.
type goClient struct {
	t *testing.T
	c openai.Client
}

func goQuestion(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "claude-sonnet-4",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.DeveloperMessage("Be brief."), openai.UserMessage(text)},
	}
}

func (g *goClient) whole(p openai.ChatCompletionNewParams) *openai.ChatCompletion {
	g.t.Helper()
	answer, err := g.c.Chat.Completions.New(g.t.Context(), p)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer
}

func (g *goClient) stream(p openai.ChatCompletionNewParams) *openai.ChatCompletionAccumulator {
	g.t.Helper()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := g.c.Chat.Completions.NewStreaming(g.t.Context(), p)
	sum := new(openai.ChatCompletionAccumulator)
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			g.t.Error("a chunk does not fit the ones before it")
		}
	}
	if err := stream.Err(); err != nil {
		g.t.Fatal(err)
	}
	return sum
}

// travel calls functions until the model has no more calls.
func (g *goClient) travel(question string, ask func(openai.ChatCompletionNewParams) *openai.ChatCompletion) (trip sdkTrip) {
	g.t.Helper()
	p := goQuestion(question)
	p.Tools = []openai.ChatCompletionToolUnionParam{
		goTool("get_weather", `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`),
		goTool("get_time", `{"type":"object","properties":{"zone":{"type":"string"},"format":{"enum":["12h","24h",null]}},"required":["zone"]}`),
	}
	for {
		trip.Requests++
		said := ask(p).Choices[0].Message
		if len(said.ToolCalls) == 0 || trip.Requests > 5 {
			trip.Text = said.Content
			return trip
		}
		p.Messages = append(p.Messages, said.ToParam())
		for _, call := range said.ToolCalls {
			trip.Calls = append(trip.Calls, sdkCall{call.Function.Name, json.RawMessage(call.Function.Arguments)})
			p.Messages = append(p.Messages, openai.ToolMessage(goResult(call.Function.Arguments), call.ID))
		}
	}
}

func goTool(name, schema string) openai.ChatCompletionToolUnionParam {
	var parameters shared.FunctionParameters
	if err := json.Unmarshal([]byte(schema), &parameters); err != nil {
		panic(err)
	}
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: name, Description: openai.String("About " + name), Parameters: parameters})
}

func goResult(arguments string) string {
	switch {
	case strings.Contains(arguments, "zone"):
		return "12:00"
	case strings.Contains(arguments, "Rome"):
		return "sunny"
	}
	return "mild"
}

func goReply(c *openai.ChatCompletion) sdkReply {
	return sdkReply{Text: c.Choices[0].Message.Content, Finish: c.Choices[0].FinishReason, Usage: goUsage(c.Usage)}
}

func goUsage(u openai.CompletionUsage) sdkUsage {
	return sdkUsage{Input: int(u.PromptTokens), Cached: int(u.PromptTokensDetails.CachedTokens), Output: int(u.CompletionTokens)}
}

func goSeveral(c *openai.ChatCompletion) (s sdkSeveral) {
	for _, choice := range c.Choices {
		s.Texts = append(s.Texts, choice.Message.Content)
		s.Indices = append(s.Indices, int(choice.Index))
	}
	s.Usage = goUsage(c.Usage)
	return s
}

func testCurl(t *testing.T, b *sdkBench) {
	for name, tc := range map[string]struct {
		body string
		want []string
	}{
		"stream": {`{"model":"claude-sonnet-4","stream":true,"messages":[{"role":"user","content":"hello for curl"}]}`,
			[]string{`"delta":{"role":"assistant"`, `"content":"from "`, `"finish_reason":"stop"`, "data: [DONE]\n\n"}},
		"whole": {`{"model":"claude-sonnet-4","messages":[{"role":"user","content":"hello for curl"}]}`,
			[]string{`"object":"chat.completion"`, `"content":"` + helloText + `"`, `"total_tokens":26`}},
		"error": {`{"model":"claude-sonnet-4","messages":[]}`, []string{`"type":"invalid_request_error"`, `"param":"messages"`}},
	} {
		out, err := exec.CommandContext(t.Context(), "curl", "-sN", b.url()+"/chat/completions",
			"-H", "Content-Type: application/json", "-H", "X-API-Key: "+sdkKey, "-d", tc.body).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, w := range tc.want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: no %s in\n%s", name, w, out)
			}
		}
	}
	resp, err := client.Get(b.proc.url + "/health")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("health: %v, %v", resp, err)
	}
	resp.Body.Close()
}
