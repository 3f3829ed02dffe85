package anthropictest

import "testing"

func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":10,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
		"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"y"}]}]}],"tools":[{"name":"n"}]}`))
	f.Add([]byte(`{"messages":[null,{"content":[null]}],"Tools":[{}]}`))
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"[[tool x {]]"}],"thinking":{"type":"enabled"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := decodeBody(data)
		if err != nil {
			return
		}
		estimate(body)
		if check(body) != nil {
			return
		}
		conversation := Conversation(Request{Body: body})
		Digest(conversation)
		if r, ok := directed(conversation); ok {
			fit(r, body)
		}
	})
}
