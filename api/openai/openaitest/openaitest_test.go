package openaitest

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const usage = `{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`

func completion(message, reason string) string {
	return `{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":` + message +
		`,"logprobs":null,"finish_reason":"` + reason + `"}],"usage":` + usage + `}`
}

func chunk(choices, usage string) string {
	return `{"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[` + choices + `],"usage":` + usage + `}`
}

func TestSchemasTellGoodFromBad(t *testing.T) {
	const call = `"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]`
	for name, tc := range map[string]struct {
		kind, data string
		ok         bool
	}{
		"an answer":                     {Completion, completion(`{"role":"assistant","content":"a","refusal":null}`, "stop"), true},
		"a refusal":                     {Completion, completion(`{"role":"assistant","content":null,"refusal":"no"}`, "content_filter"), true},
		"calls":                         {Completion, completion(`{"role":"assistant","content":null,"refusal":null,`+call+`}`, "tool_calls"), true},
		"an answer of nothing":          {Completion, completion(`{"role":"assistant","content":null,"refusal":null}`, "stop"), false},
		"calls that stop":               {Completion, completion(`{"role":"assistant","content":null,"refusal":null,`+call+`}`, "stop"), false},
		"tool_calls without calls":      {Completion, completion(`{"role":"assistant","content":"a","refusal":null}`, "tool_calls"), false},
		"an unknown member":             {Completion, completion(`{"role":"assistant","content":"a","refusal":null,"x":1}`, "stop"), false},
		"no choices":                    {Completion, `{"id":"a","object":"chat.completion","created":1,"model":"m","choices":[],"usage":` + usage + `}`, false},
		"a delta":                       {Chunk, chunk(`{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}`, "null"), true},
		"usage last":                    {Chunk, chunk("", usage), true},
		"usage beside a choice":         {Chunk, chunk(`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}`, usage), false},
		"no choice and no usage":        {Chunk, chunk("", "null"), false},
		"a call with an id and no type": {Chunk, chunk(`{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c"}]},"finish_reason":null}`, "null"), false},
		"a call without index":          {Chunk, chunk(`{"index":0,"delta":{"tool_calls":[{"function":{"arguments":""}}]},"finish_reason":null}`, "null"), false},
		"an error":                      {Error, `{"error":{"message":"m","type":"t","param":null,"code":null}}`, true},
		"an error without param":        {Error, `{"error":{"message":"m","type":"t","code":null}}`, false},
		"a model":                       {Model, `{"id":"a","object":"model","created":1,"owned_by":"o"}`, true},
		"a list":                        {Models, `{"object":"list","data":[{"id":"a","object":"model","created":1,"owned_by":"o"}]}`, true},
		"a list of others":              {Models, `{"object":"list","data":[{"id":"a"}]}`, false},
		"no JSON":                       {Error, `{`, false},
	} {
		if err := validate(tc.kind, []byte(tc.data)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
