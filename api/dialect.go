package api

import (
	"crypto/rand"
	"net/http"
	"time"

	"maxrelay/api/anthropic"
	"maxrelay/api/failure"
	"maxrelay/api/openai"
	"maxrelay/session/chat"
)

// dialect is one of the APIs that clients speak: how a question is read, and how answers
// and failures are told. What lies between is the same for all.
type dialect struct {
	read  func(body []byte) (*question, error)
	fail  func(err error, request string) failure.Failure
	beat  string // shows the client of a stream that it lives
	still string // likewise, behind where one stands that waits for a worker
	id    string // header that names the request, besides x-request-id
}

var (
	openAI = &dialect{
		read: readChat,
		fail: func(err error, _ string) failure.Failure { return openai.FailureOf(err) },
		beat: ": waiting for the model\n\n",
	}
	messagesAPI = &dialect{
		read: readMessages,
		fail: anthropic.FailureOf,
		beat: anthropic.Ping, still: anthropic.Ping,
		id: "Request-Id",
	}
)

// dialectOf tells by the path, so that what fails before the request finds its route is
// told in the client's words too. Clients of an upstream's other paths speak as those of
// the Messages API do. The list of models is at the same path in both APIs, and clients of
// the Messages API say its version.
func dialectOf(r *http.Request) *dialect {
	models := below(modelsRoute, r.URL.Path) && r.Header.Get("Anthropic-Version") != ""
	if isOurs(r.URL.Path) && !models {
		return openAI
	}
	return messagesAPI
}

// writer writes the answers to a question, as they come or in one piece at their end.
// Nothing of an answer is shown before its first content.
type writer interface {
	// Append takes the next event of an answer and appends what of it is to be sent.
	Append(dst []byte, answer int, e chat.Event) []byte
	// Restart forgets what an answer has said. It reports false when some of it was sent.
	Restart(answer int) bool
	// Finish ends one answer. The error says that it is not what was asked for.
	Finish(dst []byte, answer int) ([]byte, error)
	// End appends what comes last, with what each answer used.
	End(dst []byte, answers ...chat.Usage) []byte
}

func readChat(body []byte) (*question, error) {
	asked, err := openai.Decode(body)
	if err != nil {
		return nil, err
	}
	messages, err := chat.Canonical(asked.Messages)
	if err != nil {
		return nil, err
	}
	q := &question{model: asked.Model, stream: asked.Stream, answers: max(1, asked.N), ignored: asked.Ignored}
	q.chat = chat.Request{
		Tenant: chat.Tenant{User: asked.User}, System: asked.System, Messages: messages,
		Tools: asked.Tools, ToolChoice: asked.ToolChoice, Params: asked.Params,
	}
	q.write = func(created time.Time) writer {
		head := openai.Head{ID: "chatcmpl-" + rand.Text(), Created: created.Unix(), Model: asked.Model, Fingerprint: "fp_maxrelay"}
		if asked.Stream {
			return openai.NewStream(head, asked)
		}
		return openai.NewWhole(head, asked)
	}
	return q, nil
}

func readMessages(body []byte) (*question, error) {
	asked, err := anthropic.Decode(body)
	if err != nil {
		return nil, err
	}
	q := &question{model: asked.Model, stream: asked.Stream, answers: 1, ignored: asked.Ignored}
	q.chat = chat.Request{
		Tenant: chat.Tenant{User: asked.User}, System: asked.System, Messages: asked.Messages,
		Tools: asked.Tools, ToolChoice: asked.ToolChoice, Params: asked.Params,
	}
	q.write = func(time.Time) writer {
		head := anthropic.Head{ID: "msg_" + rand.Text(), Model: asked.Model}
		if asked.Stream {
			return anthropic.NewStream(head, asked)
		}
		return anthropic.NewWhole(head, asked)
	}
	return q, nil
}
