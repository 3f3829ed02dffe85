package upstream

import "encoding/json"

// textNames are the members that hold what a model reads or writes, in Anthropic's and
// OpenAI's requests, answers and events.
var textNames = map[string]bool{
	"text": true, "content": true, "system": true, "thinking": true, "partial_json": true, "description": true,
	"prompt": true, "input": true, "instructions": true, "arguments": true, "reasoning_content": true, "delta": true,
}

// mediaNames are the members that hold a picture or a file, or say where one is.
var mediaNames = map[string]bool{"data": true, "file_data": true, "file_id": true, "image_url": true}

// maxSample is how much of a text is looked at to estimate its tokens.
const maxSample = 64 << 10

// texts is a text of which only the beginning and the length are held.
type texts struct {
	sample []byte // as it stands in JSON, escapes included
	bytes  int

	media      int // pictures and files beside it
	mediaBytes int
}

func (t *texts) add(p []byte) {
	t.bytes += len(p)
	t.sample = append(t.sample, p[:min(len(p), maxSample-len(t.sample))]...)
}

// tokens estimates the whole by the sample's density.
func (t *texts) tokens(estimate func(string) int) int {
	if t.bytes == 0 {
		return 0
	}
	return int(float64(estimate(plain(t.sample))) * float64(t.bytes) / float64(len(t.sample)))
}

// plain takes the escapes off. A sample that was cut within one loses its end.
func plain(escaped []byte) string {
	const longest = len(`\ud83d\ude00`)
	for cut := range min(longest, len(escaped)) {
		var text string
		if json.Unmarshal(append(append([]byte{'"'}, escaped[:len(escaped)-cut]...), '"'), &text) == nil {
			return text
		}
	}
	return string(escaped)
}
