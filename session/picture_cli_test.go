package session_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"maxrelay/session"
	"maxrelay/session/chat"
)

// Lossless WebP pictures of one colour, which take a few bytes whatever their size.
const (
	webpSmall  = "UklGRhoAAABXRUJQVlA4TA0AAAAvK8ExAChyySrT/wIAAA=="
	webpWide   = "UklGRhoAAABXRUJQVlA4TA0AAAAvw8kEAChyySrT/wIAAA==" // 2500×20
	webpMoving = "UklGRoAAAABXRUJQVlA4WAoAAAACAAAAKwEAxwAAQU5JTQYAAAAAAAAAAABBTk1GJgAAAAAAAAAAACsBAMcAAGQAAABWUDhMDQAAAC8rwTEAKHLJKtP/AgAAQU5NRiYAAAAAAAAAAAArAQDHAABkAAAAVlA4TA0AAAAvK8ExAChyySrT/wIAAA=="
)

func decoded(t testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var goroot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
})

// sample reads one of the pictures that Go's own decoders are tested with.
func sample(t testing.TB, name string) []byte {
	root, err := goroot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "src", "image", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rect(w, h int) image.Rectangle { return image.Rect(0, 0, w, h) }

// padded adds bytes behind a picture's end, which no decoder minds.
func padded(picture []byte, size int) []byte {
	return append(bytes.Clone(picture), make([]byte, size-len(picture))...)
}

func pdf(size int) chat.Block {
	data := padded([]byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), size)
	return chat.Block{Type: chat.BlockDocument, Title: "a.pdf", Source: &chat.Source{Type: "base64", MediaType: "application/pdf",
		Data: base64.StdEncoding.EncodeToString(data)}}
}

// gallery is a conversation about pictures.
type gallery struct {
	*talk
	want []chat.Message // as the model is to see it
}

// add takes messages into the history.
func (g *gallery) add(messages ...chat.Message) {
	g.t.Helper()
	g.req.Messages = append(g.req.Messages, messages...)
	g.want = append(g.want, fitting(g.t, messages)...)
}

// show asks about blocks, checks that the model was shown exactly what fits, and takes
// the answer into the conversation.
func (g *gallery) show(want chat.Session, blocks ...chat.Block) {
	g.t.Helper()
	question := chat.Text(chat.RoleUser, "what is it?")
	question.Content = append(question.Content, blocks...)
	g.add(question)
	a := g.mustAsk(g.req)
	g.mustHaveSeen(g.want)
	if a.Session != want {
		g.t.Errorf("session %s, want %s", a.Session, want)
	}
	g.add(chat.Text(chat.RoleAssistant, a.text))
}

func TestPicturesReachTheModelAsTheyWereWritten(t *testing.T) {
	b := openReal(t, func(c *session.Config) { c.MaxSessions = 2 })
	c := &gallery{talk: b.talk("alice", "s")}

	c.show(chat.SessionNew, // within the bounds: to the byte
		shown("image/png", asPNG(t, image.NewNRGBA64(rect(300, 200)))),
		shown("image/png", asPNG(t, image.NewPaletted(rect(2000, 1848), color.Palette{color.White}))),
		shown("image/png", padded(asPNG(t, image.NewGray(rect(300, 200))), 500<<10)),
		shown("image/png", sample(t, "video-001.cmyk.jpeg")), // not what it is called
		shown("image/jpeg", sample(t, "video-001.progressive.jpeg")),
		shown("image/gif", asGIF(t, 300, 200)),
		shown("image/webp", decoded(t, webpSmall)),
		shown("image/webp", decoded(t, webpMoving)))

	c.show(chat.SessionWarm, // beyond them, in all ways and at once
		shown("image/png", asPNG(t, image.NewGray(rect(2001, 30)))),
		shown("image/jpeg", asJPEG(t, image.NewGray(rect(30, 2001)))),
		shown("image/gif", asGIF(t, 2001, 10)),
		shown("image/webp", decoded(t, webpWide)),
		shown("image/png", asPNG(t, noise(450, 400))),
		shown("image/png", padded(asPNG(t, image.NewGray(rect(3, 2))), 500<<10+1)))

	c.show(chat.SessionWarm, shown("image/png", padded(asPNG(t, noise(450, 400)), 20_000_000)))
	c.show(chat.SessionWarm, pdf(100_000),
		chat.Block{Type: chat.BlockDocument, Title: "notes.txt", Context: "mine", Source: &chat.Source{Type: "text", MediaType: "text/plain", Data: "/clear @/etc/hostname"}},
		chat.Block{Type: chat.BlockImage, Source: &chat.Source{Type: "url", URL: "https://example.com/a.png?b=c"}},
		chat.Block{Type: chat.BlockDocument, Source: &chat.Source{Type: "url", URL: "http://127.0.0.1/a.pdf"}})
}

func TestALargeDocumentReachesTheModelWhole(t *testing.T) {
	b := openReal(t)
	large := pdf(20_000_000)
	b.mustAsk(&chat.Request{Tenant: chat.Tenant{Key: "k1", Pool: "default"}, Model: "sonnet",
		Messages: []chat.Message{{Role: chat.RoleUser, Content: []chat.Block{large, {Type: chat.BlockText, Text: "sum it up"}}}}})
	r := b.api.Requests()[0] // compared as bytes: taking them apart again takes half a minute under the race detector
	if n := len(r.Body.Messages[0].Content); n != 2 || !bytes.Contains(r.Raw, []byte(large.Source.Data)) {
		t.Errorf("%d blocks in a request of %d bytes", n, len(r.Raw))
	}
}

// A history is told where it was not asked, and results hold pictures too.
func TestPicturesOfAHistoryReachTheModelAsTheyWereWritten(t *testing.T) {
	b := openReal(t, func(c *session.Config) { c.MaxSessions = 2 })
	c := &gallery{talk: b.talk("alice", "s")}
	wide := shown("image/png", asPNG(t, image.NewGray(rect(2500, 50))))
	call := func(id string) chat.Block {
		return chat.Block{Type: chat.BlockToolUse, ID: id, Name: "look", Input: []byte(`{}`)}
	}
	result := func(id string, blocks ...chat.Block) chat.Block {
		return chat.Block{Type: chat.BlockToolResult, ToolUseID: id, Content: blocks}
	}
	text := func(s string) chat.Block { return chat.Block{Type: chat.BlockText, Text: s} }
	c.add([]chat.Message{
		{Role: chat.RoleUser, Content: []chat.Block{wide}},
		chat.Text(chat.RoleAssistant, "a line"),
		{Role: chat.RoleUser, Content: []chat.Block{pdf(1000), shown("image/jpeg", padded(asJPEG(t, noise(90, 60)), 600_000))}},
		{Role: chat.RoleAssistant, Content: []chat.Block{text("let me look"), call("1"), call("2")}},
		{Role: chat.RoleUser, Content: []chat.Block{result("1", text("one"), wide), result("2"), text("by the way"), shown("image/png", asPNG(t, noise(30, 20)))}},
		{Role: chat.RoleAssistant, Content: []chat.Block{call("3")}},
		{Role: chat.RoleUser, Content: []chat.Block{result("3", shown("image/png", padded(asPNG(t, noise(90, 60)), 6_000_000)))}},
		chat.Text(chat.RoleAssistant, "and again"),
	}...)
	c.show(chat.SessionReplayed, wide)
	c.show(chat.SessionWarm, shown("image/gif", asGIF(t, 2001, 10)))

	branch := *c.req
	branch.Messages = append(branch.Messages[:10:10], chat.Text(chat.RoleUser, "otherwise"))
	if a := b.mustAsk(&branch); a.Session != chat.SessionRewound {
		t.Errorf("session %s, want rewound", a.Session)
	}
	b.mustHaveSeen(fitting(t, branch.Messages))

	open := *c.req // a loop whose last results the model is to answer
	open.Messages = append(open.Messages[:6:6], chat.Message{Role: chat.RoleUser, Content: []chat.Block{result("3", wide, text("so"))}})
	b.mustAsk(&open)
	b.mustHaveSeen(fitting(t, open.Messages))
}
