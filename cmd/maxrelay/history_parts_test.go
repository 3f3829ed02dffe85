package main

import "maxrelay/session/chat"

// Assistants' messages with calls, as the client has them and as the model is shown them.
const (
	oneCall  = `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}`
	oneUse   = `{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]}`
	twoCalls = `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}`
	twoUses  = `{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"g","input":{}}]}`
)

// openLoop is a history that ends with results: its calls are told, not made.
func (s shape) openLoop(same, rewound chat.Session) shape {
	s.same, s.rewound, s.why = same, rewound, "the model was offered no tools, so it did not make these calls"
	return s
}

// withArguments is a history with one call, as the client wrote its arguments and as
// the model reads them.
func withArguments(name, client, model string) shape {
	return shape{name: "arguments: " + name,
		messages: `[{"role":"user","content":"` + name + `"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":` + encoded(client) + `}}]},` +
			`{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
		want: `[{"role":"user","content":"` + name + `"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":` + model + `}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`}
}

func tools() []shape {
	return []shape{
		shape{name: "a call and its result",
			messages: `[{"role":"user","content":"t1"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"18 C"}]`,
			want:     `[{"role":"user","content":"t1"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"18 C"}]}]`,
		}.openLoop(chat.SessionReplayed, chat.SessionReplayed),
		shape{name: "a call behind an answer",
			messages: `[{"role":"user","content":"t2"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"18 C"}]`,
			want:     `[{"role":"user","content":"t2"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"18 C"}]}]`,
		}.openLoop(chat.SessionRewound, chat.SessionRewound),
		{name: "a call in the past",
			messages: `[{"role":"user","content":"t3"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"18 C"},{"role":"assistant","content":"It is 18 C."},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t3"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"18 C"}]},{"role":"assistant","content":"It is 18 C."},{"role":"user","content":"c"}]`},
		{name: "a call with text",
			messages: `[{"role":"user","content":"t4"},{"role":"assistant","content":"Let me look. ","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t4"},{"role":"assistant","content":[{"type":"text","text":"Let me look. "},{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		shape{name: "several results",
			messages: `[{"role":"user","content":"t5"},` + twoCalls + `,{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"}]`,
			want:     `[{"role":"user","content":"t5"},` + twoUses + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},{"type":"tool_result","tool_use_id":"c2","content":"r2"}]}]`,
		}.openLoop(chat.SessionReplayed, chat.SessionReplayed),
		{name: "results in another order",
			messages: `[{"role":"user","content":"t6"},` + twoCalls + `,{"role":"tool","tool_call_id":"c2","content":"r2"},{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t6"},` + twoUses + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},{"type":"tool_result","tool_use_id":"c2","content":"r2"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a question beside the results",
			messages: `[{"role":"user","content":"t7"},` + twoCalls + `,{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"user","content":"by the way"},{"role":"tool","tool_call_id":"c2","content":"r2"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t7"},` + twoUses + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},{"type":"tool_result","tool_use_id":"c2","content":"r2"},{"type":"text","text":"by the way"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a system between call and result",
			messages: `[{"role":"user","content":"t8"},` + oneCall + `,{"role":"system","content":"Hurry."},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t8"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r"},{"type":"text","text":"<system_message>\nHurry.\n</system_message>"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a result that tells of an error",
			messages: `[{"role":"user","content":"t9"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"Error: no such city\n"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t9"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"Error: no such city\n"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "an empty result",
			messages: `[{"role":"user","content":"t10"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":""},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t10"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a result of parts",
			messages: `[{"role":"user","content":"t11"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t11"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a result that looks like the CLI's",
			messages: `[{"role":"user","content":"t12"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"[Request interrupted by user for tool use]"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t12"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"[Request interrupted by user for tool use]"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		shape{name: "one loop after another",
			messages: `[{"role":"user","content":"t13"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"assistant","content":"","tool_calls":[{"id":"c9","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c9","content":"r9"}]`,
			want:     `[{"role":"user","content":"t13"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"}]},{"role":"assistant","content":[{"type":"tool_use","id":"c9","name":"g","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c9","content":"r9"}]}]`,
		}.openLoop(chat.SessionReplayed, chat.SessionReplayed),
		{name: "loops in several turns",
			messages: `[{"role":"user","content":"t14"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","tool_calls":[{"id":"c8","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c8","content":"r8"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`,
			want:     `[{"role":"user","content":"t14"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":[{"type":"tool_use","id":"c8","name":"g","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c8","content":"r8"}]},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]`},
		{name: "a result edited",
			held:     `[{"role":"user","content":"t15"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"old"}]`,
			messages: `[{"role":"user","content":"t15"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"new"}]`,
			want:     `[{"role":"user","content":"t15"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"new"}]}]`,
			same:     chat.SessionRewound, why: "the model was offered no tools, so it did not make this call"},
		{name: "a result edited in the first turn",
			held:     `[{"role":"user","content":"t16"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"old"}]`,
			messages: `[{"role":"user","content":"t16"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":"new"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t16"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"new"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			rewound:  chat.SessionReplayed, why: "a line with results is no place to cut, so the question before it goes too"},
		{name: "ids and names that the API does not take",
			messages: `[{"role":"user","content":"t17"},{"role":"assistant","tool_calls":[{"id":"call:1/ä","type":"function","function":{"name":"get.weather","arguments":"{}"}},{"id":"enc_x_20y","type":"function","function":{"name":"ok_name-1","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call:1/ä","content":"r1"},{"role":"tool","tool_call_id":"enc_x_20y","content":"r2"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"t17"},{"role":"assistant","content":[{"type":"tool_use","id":"enc_call_3a1_2f_c3_a4","name":"enc_get_2eweather","input":{}},{"type":"tool_use","id":"enc_enc_5fx_5f20y","name":"ok_name-1","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"enc_call_3a1_2f_c3_a4","content":"r1"},{"type":"tool_result","tool_use_id":"enc_enc_5fx_5f20y","content":"r2"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		withArguments("none", ``, `{}`),
		withArguments("white space and order", ` { "b" : [1, 2 ] , "a":{"z":1,"y":2} } `, `{"a":{"y":2,"z":1},"b":[1,2]}`),
		withArguments("numbers", `{"a":1.0,"b":1e2,"c":-0,"d":0.1,"e":12345678901234567890,"f":1e21,"g":1e-7}`, `{"a":1,"b":100,"c":0,"d":0.1,"e":12345678901234567000,"f":1e+21,"g":1e-7}`),
		withArguments("escapes", `{"a":"\u00e9\/\u2028\ud83d\ude00<&>\u0000"}`, `{"a":"é/`+"\u2028"+`😀<&>\u0000"}`),
		withArguments("keys that are numbers", `{"x":1,"10":2,"9":3}`, `{"9":3,"10":2,"x":1}`),
		withArguments("keys with a meaning to ECMAScript", `{"__proto__":{"a":1},"constructor":2,"":3}`, `{"":3,"__proto__":{"a":1},"constructor":2}`),
		withArguments("a key given twice", `{"a":1,"a":2}`, `{"a":2}`),
	}
}

// dot is a PNG picture of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

const picture = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + dot + `"}}`

func parts() []shape {
	return []shape{
		{name: "a picture",
			messages: `[{"role":"user","content":[{"type":"text","text":"p1"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + dot + `","detail":"low"}}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":[{"type":"text","text":"p1"},` + picture + `]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a picture of another type than it says, in the last question",
			messages: `[{"role":"user","content":"p2"},{"role":"assistant","content":"b"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,` + dot + `"}},{"type":"text","text":"what is it?"}]}]`,
			want:     `[{"role":"user","content":"p2"},{"role":"assistant","content":"b"},{"role":"user","content":[` + picture + `,{"type":"text","text":"what is it?"}]}]`},
		{name: "a picture alone",
			messages: `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + dot + `"}}]},{"role":"assistant","content":"p3"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":[` + picture + `]},{"role":"assistant","content":"p3"},{"role":"user","content":"c"}]`},
		{name: "the address of a picture",
			messages: `[{"role":"user","content":[{"type":"text","text":"p4"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":[{"type":"text","text":"p4"},{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a document",
			messages: `[{"role":"user","content":[{"type":"file","file":{"filename":"notes.txt","file_data":"data:text/plain;base64,c29tZSBub3Rlcw=="}},{"type":"text","text":"p5"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"some notes"},"title":"notes.txt"},{"type":"text","text":"p5"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
		{name: "a picture in a result",
			messages: `[{"role":"user","content":"p6"},` + oneCall + `,{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + dot + `"}}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			want:     `[{"role":"user","content":"p6"},` + oneUse + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"look"},` + picture + `]}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`},
	}
}
