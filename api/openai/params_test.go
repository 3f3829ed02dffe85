package openai

import (
	"errors"
	"reflect"
	"testing"

	"maxrelay/session/chat"
)

func TestSampling(t *testing.T) {
	for name, tc := range map[string]struct {
		params  string
		want    chat.Params
		ignored []string
	}{
		"none":                            {``, chat.Params{}, nil},
		"a bound":                         {`"max_tokens":10`, chat.Params{MaxTokens: 10}, nil},
		"the bound's newer name":          {`"max_completion_tokens":1e2`, chat.Params{MaxTokens: 100}, nil},
		"the smaller bound":               {`"max_tokens":9.0,"max_completion_tokens":10`, chat.Params{MaxTokens: 9}, nil},
		"the smaller bound, other way":    {`"max_tokens":10,"max_completion_tokens":9`, chat.Params{MaxTokens: 9}, nil},
		"a temperature needs no thought":  {`"temperature":0`, chat.Params{Temperature: new(0.0), NoThinking: true}, nil},
		"the usual temperature":           {`"temperature":1`, chat.Params{Temperature: new(1.0)}, nil},
		"too hot for the models":          {`"temperature":1.5`, chat.Params{Temperature: new(1.0)}, []string{"temperature"}},
		"top_p":                           {`"top_p":0.3`, chat.Params{TopP: new(0.3), NoThinking: true}, nil},
		"a top_p that goes with thought":  {`"top_p":0.95`, chat.Params{TopP: new(0.95)}, nil},
		"top_p above the models' range":   {`"top_p":2`, chat.Params{TopP: new(1.0)}, []string{"top_p"}},
		"both":                            {`"top_p":1,"temperature":0.5`, chat.Params{Temperature: new(0.5), NoThinking: true}, []string{"top_p"}},
		"both too large":                  {`"top_p":2,"temperature":2`, chat.Params{Temperature: new(1.0)}, []string{"temperature", "top_p"}},
		"one stop":                        {`"stop":"END"`, chat.Params{Stop: []string{"END"}}, nil},
		"stops of white space are ours":   {`"stop":["a","\n\n"," b"," "]`, chat.Params{Stop: []string{"a", " b"}, BlankStop: []string{"\n\n", " "}}, nil},
		"no stops":                        {`"stop":[]`, chat.Params{}, nil},
		"no effort":                       {`"reasoning_effort":"none"`, chat.Params{NoThinking: true}, nil},
		"the least effort":                {`"reasoning_effort":"minimal"`, chat.Params{Effort: "low"}, nil},
		"the most effort":                 {`"reasoning_effort":"max"`, chat.Params{Effort: "max"}, nil},
		"effort and a temperature":        {`"reasoning_effort":"high","temperature":0.2`, chat.Params{Effort: "high", Temperature: new(0.2), NoThinking: true}, nil},
		"a forced call needs no thought":  {`"tools":[` + weather + `],"tool_choice":"required"`, chat.Params{NoThinking: true}, nil},
		"a free call leaves the thinking": {`"tools":[` + weather + `],"tool_choice":"auto"`, chat.Params{}, nil},
		"what the models have no knob for": {`"seed":-3,"presence_penalty":-2,"frequency_penalty":2,"logit_bias":{"50256":-100},"prediction":{},"verbosity":"low","web_search_options":{}`,
			chat.Params{}, []string{"frequency_penalty", "logit_bias", "prediction", "presence_penalty", "seed", "verbosity", "web_search_options"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := accept(t, tc.params)
			if !reflect.DeepEqual(r.Params, tc.want) {
				t.Errorf("got %+v, want %+v", r.Params, tc.want)
			}
			if !reflect.DeepEqual(r.Ignored, tc.ignored) {
				t.Errorf("ignored %q, want %q", r.Ignored, tc.ignored)
			}
		})
	}
}

func TestSamplingRefuses(t *testing.T) {
	mustRefuse(t, map[string][2]string{
		"no tokens":             {`"max_tokens":0`, "max_tokens"},
		"half a token":          {`"max_completion_tokens":1.5`, "max_completion_tokens"},
		"too hot":               {`"temperature":2.1`, "temperature"},
		"temperature as text":   {`"temperature":"1"`, "temperature"},
		"negative top_p":        {`"top_p":-0.1`, "top_p"},
		"five stops":            {`"stop":["a","b","c","d","e"]`, "stop"},
		"an empty stop":         {`"stop":["a",""]`, "stop[1]"},
		"one empty stop":        {`"stop":""`, "stop"},
		"a stop that is null":   {`"stop":[null]`, "stop[0]"},
		"stop of another type":  {`"stop":{}`, "stop"},
		"unknown effort":        {`"reasoning_effort":"huge"`, "reasoning_effort"},
		"no answer":             {`"n":0`, "n"},
		"nine answers":          {`"n":9`, "n"},
		"half an answer":        {`"n":1.5`, "n"},
		"probabilities":         {`"logprobs":true`, "logprobs"},
		"a bias that is a list": {`"logit_bias":[1]`, "logit_bias"},
	})
}

func TestSeveralAnswers(t *testing.T) {
	if n := accept(t, ``).N; n != 1 {
		t.Errorf("%d answers, want 1", n)
	}
	if n := accept(t, `"n":8`).N; n != 8 {
		t.Errorf("%d answers, want 8", n)
	}
}

// Whatever is accepted can be sent upstream.
func FuzzDecodeParameters(f *testing.F) {
	for _, params := range []string{
		`"n":8,"stop":["a"," "],"temperature":1.5,"top_p":0.1,"max_tokens":1e3,"reasoning_effort":"minimal","seed":1`,
		`"tools":[` + weather + `,` + function("a.b", `{"anyOf":[{"$ref":"#"}]}`) + `],"tool_choice":"required","parallel_tool_calls":false`,
		`"tools":[` + weather + `],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[` + weather + `]}}`,
		schemaFormat(person, `,"strict":true,"description":"d"`), `"response_format":{"type":"json_object"}`,
	} {
		f.Add(params)
	}
	f.Fuzz(func(t *testing.T, params string) {
		r, err := Decode([]byte(`{` + hello + `,` + params + `}`))
		if err != nil {
			if _, ok := errors.AsType[*chat.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		if _, err := chat.EncodeRequest(&chat.Request{Tools: r.Tools, ToolChoice: r.ToolChoice, Params: r.Params}); err != nil {
			t.Fatal(err)
		}
		p := r.Params
		if r.N < 1 || r.N > 8 || p.MaxTokens < 0 || p.Temperature != nil && p.TopP != nil || len(p.Stop)+len(p.BlankStop) > 4 || r.ToolChoice.Forced() && !p.NoThinking {
			t.Errorf("got %+v", r)
		}
		for _, tool := range r.Tools {
			if len(tool.Name) > chat.MaxToolName || chat.ToolName(chat.ClientToolName(tool.Name)) != tool.Name {
				t.Errorf("name %q", tool.Name)
			}
		}
	})
}
