package chat

const (
	bytesPerToken = 4

	// MediaTokens is an estimate for an image or a PDF, whose tokens do not follow from
	// its bytes.
	MediaTokens = 1600
)

// EstimatePrompt estimates the tokens of the prompt cheaply, from its bytes. The CLI's
// own parts are not in it.
func (r *Request) EstimatePrompt() int {
	n := len(r.System)
	for _, t := range r.Tools {
		n += len(t.Name) + len(t.Description) + len(t.Schema)
	}
	for _, m := range r.Messages {
		n += blockBytes(m.Content)
	}
	return EstimateBytes(n)
}

// EstimateBytes estimates the tokens of so many bytes of text.
func EstimateBytes(n int) int { return (n + bytesPerToken - 1) / bytesPerToken }

func blockBytes(blocks []Block) (n int) {
	for _, b := range blocks {
		n += len(b.Text) + len(b.Name) + len(b.Input) + len(b.Title) + blockBytes(b.Content)
		switch {
		case b.Source == nil:
		case b.Source.Type == "text":
			n += len(b.Source.Data)
		default:
			n += MediaTokens * bytesPerToken
		}
	}
	return n
}
