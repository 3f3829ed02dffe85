package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"

	"maxrelay/session/chat"
	"maxrelay/session/picture"
)

func asPNG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asGIF makes a moving picture.
func asGIF(t testing.TB, w, h int) []byte {
	var b bytes.Buffer
	g := &gif.GIF{Delay: []int{1, 1}}
	for range g.Delay {
		g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.White, color.Black}))
	}
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func noise(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(m.Pix)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

// shown is a block of a picture as it comes from a client.
func shown(mediaType string, data []byte) chat.Block {
	return chat.Block{Type: chat.BlockImage, Source: &chat.Source{Type: "base64", MediaType: mediaType,
		Data: base64.StdEncoding.EncodeToString(data), At: "messages[0].content[0].image_url.url"}}
}

// fitting is the messages as they are to reach the model.
func fitting(t testing.TB, messages []chat.Message) (out []chat.Message) {
	t.Helper()
	for _, m := range messages {
		out = append(out, chat.Message{Role: m.Role, Content: fittingBlocks(t, m.Content)})
	}
	return out
}

func fittingBlocks(t testing.TB, blocks []chat.Block) (out []chat.Block) {
	t.Helper()
	for _, b := range blocks {
		b.Content = fittingBlocks(t, b.Content)
		if b.Type == chat.BlockImage && b.Source.Type == "base64" {
			data, err := base64.StdEncoding.DecodeString(b.Source.Data)
			if err != nil {
				t.Fatal(err)
			}
			small, mediaType, err := picture.Fit(context.Background(), data)
			if err != nil {
				t.Fatal(err)
			}
			b.Source = &chat.Source{Type: "base64", MediaType: mediaType, Data: base64.StdEncoding.EncodeToString(small)}
		}
		out = append(out, b)
	}
	return out
}

func TestPicturesAreMadeToFitWhereTheyAreWritten(t *testing.T) {
	d := openFakes(t, fakeConfig()).dialog("k", "u")
	large := shown("image/jpeg", asPNG(t, image.NewGray(image.Rect(0, 0, 2500, 100))))
	question := *d.with("[[echo]] what is it?")
	question.Messages[0].Content = append(question.Messages[0].Content, large)
	a := d.mustAsk(&question)
	held := question
	held.Messages = fitting(t, question.Messages)
	d.mustHaveHeld(a, &held)

	question.Messages = append(question.Messages, chat.Text(chat.RoleAssistant, a.text), chat.Text(chat.RoleUser, "[[echo]] and now?"))
	if a = d.mustAsk(&question); a.Session != chat.SessionWarm {
		t.Errorf("the same picture as before: session %s, want warm", a.Session)
	}
	held.Messages = fitting(t, question.Messages)
	d.mustHaveHeld(a, &held)
}

func TestABrokenPictureCostsNobodyAProcess(t *testing.T) {
	whole := asPNG(t, noise(40, 30))
	for name, tc := range map[string]struct {
		picture chat.Block
		turns   int // before it
	}{
		"in the first turn":  {shown("image/png", whole[:len(whole)/2]), 0},
		"in a later turn":    {shown("image/png", whole[:len(whole)/2]), 2},
		"that is no picture": {shown("image/png", []byte("hello, hello, hello")), 1},
		"inside a result": {chat.Block{Type: chat.BlockToolResult, ToolUseID: "1",
			Content: []chat.Block{shown("image/png", whole[:len(whole)-12])}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := openFakes(t, fakeConfig()).dialog("k", "u")
			for range tc.turns {
				d.say("before")
			}
			broken := d.with("look")
			last := &broken.Messages[len(broken.Messages)-1]
			last.Content = append(last.Content, tc.picture)
			a := d.ask(t.Context(), broken)
			if a.Error == nil || a.Error.Code != chat.CodeInvalid || a.Error.Param != "messages[0].content[0].image_url.url" {
				t.Fatalf("outcome %+v (%v)", a.Outcome, a.Error)
			}
			want := chat.SessionWarm
			if tc.turns == 0 {
				want = chat.SessionNew
			}
			d.mustSay("after", want)
			if n := len(children(t)); n != 1 {
				t.Errorf("%d processes, want the first one again", n)
			}
		})
	}
}

func TestAClientThatLeavesWhilePicturesAreFittedCostsNothing(t *testing.T) {
	d := openFakes(t, fakeConfig()).dialog("k", "u")
	d.say("before")
	ctx, cancel := context.WithCancel(t.Context())
	left := d.with("look")
	left.Messages[len(left.Messages)-1].Content = append(left.Messages[len(left.Messages)-1].Content, shown("image/png", asPNG(t, noise(40, 30))))
	a := d.watch(ctx, left, func(e chat.Event) {
		if e.Type == chat.EventTurn {
			cancel()
		}
	})
	if a.Error == nil || a.Error.Code != chat.CodeCancelled {
		t.Fatalf("outcome %+v (%v)", a.Outcome, a.Error)
	}
	d.mustSay("after", chat.SessionWarm)
	if st := d.Stats(); st.Idle != 1 || st.Busy != 0 {
		t.Errorf("processes: %+v, want one idle", st)
	}
}
