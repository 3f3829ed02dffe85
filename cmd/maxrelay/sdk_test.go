package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

// sdkBench is one program for all client libraries, with a recorder before it and a
// model behind it that plays scenes.
type sdkBench struct {
	*site
	proc *proc
	rec  *recorder
}

const sdkKey = "sk-of-a-client"

func TestClientLibraries(t *testing.T) {
	b := &sdkBench{site: newSite(t)}
	b.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q]}", sdkKey)
	b.model.Script(playScene)
	b.proc = b.start("serve", servesHTTP, realCLI, "serve")
	b.rec = record(t, b.proc.url)
	for _, library := range []struct {
		name string
		test func(*testing.T, *sdkBench)
	}{
		{"openai for Node", testOpenAIForNode},
		{"openai for Go", testOpenAIForGo},
		{"anthropic for Node", testAnthropicForNode},
		{"AI SDK", testAISDK},
		{"LangChain", testLangChain},
		{"curl", testCurl},
	} {
		t.Run(library.name, func(t *testing.T) { library.test(t, b) })
	}
	b.rec.mustKeepToTheSchemas(t)
}

func (b *sdkBench) url() string { return b.rec.url + "/v1" }

// node runs one of the scripts in Node and reads what it tells.
func (b *sdkBench) node(t *testing.T, script string, told any) {
	t.Helper()
	path := filepath.Join("..", "..", "api", "testdata", "sdk", script)
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "node_modules", "langchain")); err != nil {
		t.Fatal("the SDKs are not installed: run `make sdk`")
	}
	cmd := exec.CommandContext(t.Context(), "node", path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "BASE_URL=" + b.url(), "API_KEY=" + sdkKey}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, errs.String())
	}
	if err := json.Unmarshal(raw, told); err != nil {
		t.Fatalf("%s: %v in %s", script, err, raw)
	}
}

// sdkReply is an answer as a library hands it out.
type sdkReply struct {
	Text, Finish string
	Usage        sdkUsage
}

func (r sdkReply) mustBeTheHello(t *testing.T, how string) {
	t.Helper()
	if want := (sdkReply{helloText, "stop", helloUsage}); r != want {
		t.Errorf("%s: %+v, want %+v", how, r, want)
	}
}

// sdkUsage reads the names of OpenAI, of Anthropic, and those of the libraries.
type sdkUsage struct {
	Input, Cached, Output int
}

func (u *sdkUsage) UnmarshalJSON(raw []byte) error {
	var all struct {
		Input, Cached, Output int
		Prompt                int `json:"prompt_tokens"`
		Completion            int `json:"completion_tokens"`
		Details               struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		Uncached int `json:"input_tokens"`
		Written  int `json:"cache_creation_input_tokens"`
		Read     int `json:"cache_read_input_tokens"`
		Said     int `json:"output_tokens"`
	}
	err := json.Unmarshal(raw, &all)
	*u = sdkUsage{all.Input + all.Prompt + all.Uncached + all.Written + all.Read, all.Cached + all.Details.Cached + all.Read, all.Output + all.Completion + all.Said}
	return err
}

// sdkCall is a call that reached a client's function.
type sdkCall struct {
	Name string
	Args json.RawMessage
}

// sdkTrip is what a library's loop of calls came to.
type sdkTrip struct {
	Text     string
	Calls    []sdkCall
	Requests int
}

// mustHaveTravelled checks a loop of calls from both ends: what came out of it at the
// client, and what the model was shown.
func (b *sdkBench) mustHaveTravelled(t *testing.T, who string, got sdkTrip) {
	t.Helper()
	if calls := describe(got.Calls); got.Text != tripText || got.Requests != 3 || !slices.Equal(calls, tripCalls) {
		t.Errorf("%s: %q after %d requests with the calls %q", who, got.Text, got.Requests, calls)
	}
	asked, shown := served(b.rec.about("trip for "+who)), b.shown("trip for "+who)
	if len(asked) != 3 || len(shown) != 3 {
		t.Fatalf("%s: %d requests, %d calls of the model", who, len(asked), len(shown))
	}
	for i, r := range asked {
		if got, want := r.header.Get("X-Maxrelay-Session"), []string{"new", "warm", "warm"}[i]; got != want {
			t.Errorf("%s, step %d: session %q, want %q", who, i, got, want)
		}
		mustOffer(t, shown[i], r.tools())
	}
	if got, want := sketch(shown[2]), append([]string{"user: trip for " + who}, tripSketch...); !slices.Equal(got, want) {
		t.Errorf("%s: the model saw\n\t%s\nwant\n\t%s", who, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	if system := anthropictest.System(shown[0]); !slices.Equal(system, []string{"Be brief."}) {
		t.Errorf("%s: the system prompt was %q", who, system)
	}
}

// served leaves out what was refused: a client of Anthropic's begins by asking whether
// the server keeps its conversation.
func served(all []recorded) []recorded {
	return slices.DeleteFunc(all, func(r recorded) bool { return r.status != http.StatusOK })
}

// shown returns the model's requests of the conversations that begin with this text.
func (b *sdkBench) shown(opening string) (all []anthropictest.Request) {
	for _, r := range b.model.Requests() {
		if c := anthropictest.Conversation(r); len(c) > 0 && c[0].Text() == opening {
			all = append(all, r)
		}
	}
	return all
}

func describe(calls []sdkCall) (all []string) {
	for _, c := range calls {
		all = append(all, c.Name+canonical(c.Args))
	}
	return all
}

// mustOffer checks that the model was offered the client's tools and no other.
func mustOffer(t *testing.T, r anthropictest.Request, want map[string]sdkTool) {
	t.Helper()
	got := make(map[string]sdkTool)
	for _, tool := range r.Body.Tools {
		got[tool.Name] = sdkTool{tool.Description, canonical(tool.InputSchema)}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the model was offered %v, the client has %v", got, want)
	}
}

// mustBeTheCity checks an object that a library made of a structured answer.
func mustBeTheCity(t *testing.T, how string, got json.RawMessage) {
	t.Helper()
	if canonical(got) != canonical([]byte(cityJSON)) {
		t.Errorf("%s: %s", how, got)
	}
}

// mustHaveForced checks that the model was held to the shape of a city by its API.
func (b *sdkBench) mustHaveForced(t *testing.T, opening string) {
	t.Helper()
	all := b.shown(opening)
	if len(all) != 1 {
		t.Fatalf("%s: %d calls of the model", opening, len(all))
	}
	var config struct {
		Format struct {
			Type   string
			Schema struct {
				Type                 string
				Properties           map[string]json.RawMessage
				Required             []string
				AdditionalProperties *bool
			}
		}
	}
	if err := json.Unmarshal(all[0].Body.Fields["output_config"], &config); err != nil {
		t.Fatalf("%s: output_config: %v", opening, err)
	}
	f := config.Format
	slices.Sort(f.Schema.Required)
	if f.Type != "json_schema" || f.Schema.Type != "object" || len(f.Schema.Properties) != 3 ||
		!slices.Equal(f.Schema.Required, []string{"name", "river", "sights"}) || f.Schema.AdditionalProperties == nil || *f.Schema.AdditionalProperties {
		t.Errorf("%s: the model is held to %s", opening, all[0].Body.Fields["output_config"])
	}
}
