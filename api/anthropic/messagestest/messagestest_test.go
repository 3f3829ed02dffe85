package messagestest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	usage = `{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":null,"output_tokens":2,"output_tokens_details":null,"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}`
	text  = `{"type":"text","text":"a","citations":null}`
)

func message(content, reason, sequence string) string {
	return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + content + `],"stop_reason":` + reason +
		`,"stop_sequence":` + sequence + `,"stop_details":null,"container":null,"diagnostics":null,"usage":` + usage + `}`
}

func TestSchemasTellGoodFromBad(t *testing.T) {
	for name, tc := range map[string]struct {
		kind, data string
		ok         bool
	}{
		"an answer":                    {Message, message(text, `"end_turn"`, "null"), true},
		"an empty answer":              {Message, message("", `"end_turn"`, "null"), true},
		"a call":                       {Message, message(`{"type":"tool_use","id":"a","name":"f","input":{},"caller":{"type":"direct"}}`, `"tool_use"`, "null"), true},
		"a thought":                    {Message, message(`{"type":"thinking","thinking":"","signature":"s"}`, `"max_tokens"`, "null"), true},
		"a stop":                       {Message, message(text, `"stop_sequence"`, `"END"`), true},
		"a stop that is not named":     {Message, message(text, `"stop_sequence"`, "null"), false},
		"a name without a stop":        {Message, message(text, `"end_turn"`, `"END"`), false},
		"an answer that goes on":       {Message, message(text, "null", "null"), false},
		"an unknown reason":            {Message, message(text, `"bored"`, "null"), false},
		"a call with a list":           {Message, message(`{"type":"tool_use","id":"a","name":"f","input":[],"caller":{"type":"direct"}}`, `"tool_use"`, "null"), false},
		"an unknown block":             {Message, message(`{"type":"server_tool_use"}`, `"end_turn"`, "null"), false},
		"a text without citations":     {Message, message(`{"type":"text","text":"a"}`, `"end_turn"`, "null"), false},
		"another member":               {Message, strings.Replace(message(text, `"end_turn"`, "null"), `"id"`, `"x":1,"id"`, 1), false},
		"an error":                     {Error, `{"type":"error","error":{"type":"api_error","message":"m"},"request_id":"r"}`, true},
		"an error of no kind":          {Error, `{"type":"error","error":{"type":"x","message":"m"},"request_id":"r"}`, false},
		"an error without its request": {Error, `{"type":"error","error":{"type":"api_error","message":"m"}}`, false},
		"a ping":                       {Event, `{"type":"ping"}`, true},
		"an unknown event":             {Event, `{"type":"pong"}`, false},
		"no JSON":                      {Event, `{`, false},
	} {
		if err := schemas().Check(tc.kind, []byte(tc.data)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamsHaveAnOrder(t *testing.T) {
	frame := func(name, members string) string {
		return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + members + "}\n\n"
	}
	start := frame("message_start", `,"message":`+message("", "null", "null"))
	open := frame("content_block_start", `,"index":0,"content_block":`+text)
	delta := frame("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"b"}`)
	stop := frame("content_block_stop", `,"index":0`)
	last := frame("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,"container":null},"usage":`+
		`{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2,"output_tokens_details":null,"server_tool_use":null}`)
	end, ping := frame("message_stop", ""), frame("ping", "")
	broke := frame("error", `,"error":{"type":"api_error","message":"m"},"request_id":null`)
	for name, tc := range map[string]struct {
		stream string
		ok     bool
	}{
		"a message":                   {start + open + delta + stop + last + end, true},
		"pings between":               {ping + start + ping + open + ping + delta + stop + last + end, true},
		"an error at once":            {ping + broke, true},
		"an error in a block":         {start + open + delta + broke, true},
		"nothing said":                {start + last + end, true},
		"no end":                      {start + open + delta + stop + last, false},
		"half an event":               {start + last + strings.TrimSuffix(end, "\n"), false},
		"more after the end":          {start + last + end + ping, false},
		"more after an error":         {start + broke + end, false},
		"no start":                    {open + delta + stop + last + end, false},
		"two starts":                  {start + start + last + end, false},
		"an open block":               {start + open + last + end, false},
		"the same block twice":        {start + open + stop + open + stop + last + end, false},
		"a delta of another block":    {start + open + strings.Replace(delta, `"index":0`, `"index":1`, 1) + stop + last + end, false},
		"a delta of another type":     {start + open + strings.Replace(delta, `text_delta","text"`, `thinking_delta","thinking"`, 1) + stop + last + end, false},
		"a comment":                   {": hello\n\n" + start + last + end, false},
		"a name of another event":     {strings.Replace(start, "event: message_start", "event: ping", 1) + last + end, false},
		"a block after the last word": {start + last + open + stop + end, false},
	} {
		if ended, err := check([]byte(tc.stream)); (err == nil && ended) != tc.ok {
			t.Errorf("%s: ended %t, %v", name, ended, err)
		}
	}
}

// The schemas are written by hand; what members there are, the SDK decides.
func TestSchemasHaveTheMembersThatTheSDKDeclares(t *testing.T) {
	root := filepath.Join("..", "..", "testdata", "sdk", "node_modules", "@anthropic-ai", "sdk", "resources")
	declared := declarations(t, filepath.Join(root, "messages", "messages.d.ts"))
	for _, more := range []string{"shared.d.ts", "models.d.ts"} {
		maps.Copy(declared, declarations(t, filepath.Join(root, more)))
	}
	for where, name := range map[string]string{
		"message.json $defs message": "Message", "usage.json": "Usage", "usage.json $defs delta": "MessageDeltaUsage", "usage.json $defs details": "OutputTokensDetails",
		"block.json $defs text": "TextBlock", "block.json $defs thinking": "ThinkingBlock", "block.json $defs toolUse": "ToolUseBlock",
		"event.json $defs messageStart": "RawMessageStartEvent", "event.json $defs blockStart": "RawContentBlockStartEvent", "event.json $defs blockDelta": "RawContentBlockDeltaEvent",
		"event.json $defs blockStop": "RawContentBlockStopEvent", "event.json $defs messageDelta": "RawMessageDeltaEvent", "event.json $defs messageStop": "RawMessageStopEvent",
		"event.json $defs textDelta": "TextDelta", "event.json $defs inputJSONDelta": "InputJSONDelta", "event.json $defs thinkingDelta": "ThinkingDelta",
		"event.json $defs signatureDelta": "SignatureDelta", "error.json": "ErrorResponse", "model.json": "ModelInfo",
	} {
		want, ok := declared[name]
		if !ok {
			t.Fatalf("the SDK declares no %s: run `make sdk`", name)
		}
		if got := schemaMembers(t, where); !slices.Equal(got, want) {
			t.Errorf("%s: %q, and %s of the SDK has %q", where, got, name, want)
		}
	}
}

var (
	interfaces = regexp.MustCompile(`(?m)^export interface (\w+) \{\n((?:    .*\n|\n)*)\}`)
	comments   = regexp.MustCompile(`(?s)/\*\*.*?\*/`)
	property   = regexp.MustCompile(`(?m)^    (\w+)\??:`)
)

// declarations returns the members of each interface, sorted.
func declarations(t *testing.T, path string) map[string][]string {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("the SDKs are not installed, run `make sdk`: %v", err)
	}
	all := make(map[string][]string)
	for _, m := range interfaces.FindAllStringSubmatch(comments.ReplaceAllString(string(source), ""), -1) {
		var members []string
		for _, p := range property.FindAllStringSubmatch(m[2], -1) {
			members = append(members, p[1])
		}
		slices.Sort(members)
		all[m[1]] = members
	}
	return all
}

// schemaMembers returns the members that a schema takes, sorted.
func schemaMembers(t *testing.T, where string) (members []string) {
	t.Helper()
	steps := strings.Fields(where)
	data, err := files.ReadFile("schema/" + steps[0])
	if err != nil {
		t.Fatal(err)
	}
	var node map[string]any
	if err := json.Unmarshal(data, &node); err != nil {
		t.Fatal(err)
	}
	for _, step := range append(steps[1:], "properties") {
		next, ok := node[step].(map[string]any)
		if !ok {
			t.Fatalf("%s: no %s", where, step)
		}
		node = next
	}
	for name := range node {
		members = append(members, name)
	}
	slices.Sort(members)
	return members
}
