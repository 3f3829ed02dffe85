package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"strings"
	"testing"

	"maxrelay/api/content"
	"maxrelay/session/chat"
)

// dot is a PNG picture of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

const minimalPDF = "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj"

func encode64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func encoded(t testing.TB, encode func(*bytes.Buffer, image.Image) error, w, h int) string {
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func asJPEG(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }
func asGIF(b *bytes.Buffer, m image.Image) error  { return gif.Encode(b, m, nil) }

// decodeParts returns the blocks of a user message of the given parts.
func decodeParts(parts ...string) ([]chat.Block, error) {
	r, err := Decode([]byte(`{"model":"m","messages":[{"role":"user","content":[` + strings.Join(parts, ",") + `]}]}`))
	if err != nil {
		return nil, err
	}
	return r.Messages[0].Content, nil
}

func pictureOf(mediaType, data string) chat.Block {
	return chat.Block{Type: chat.BlockImage, Source: &chat.Source{Type: "base64", MediaType: mediaType, Data: data}}
}

func address(t chat.BlockType, url string) chat.Block {
	return chat.Block{Type: t, Source: &chat.Source{Type: "url", URL: url}}
}

func document(title string, source chat.Source) chat.Block {
	return chat.Block{Type: chat.BlockDocument, Title: title, Source: &source}
}

func TestDecodeParts(t *testing.T) {
	jpg, gf := encoded(t, asJPEG, 3, 2), encoded(t, asGIF, 3, 2)
	text := chat.Source{Type: "text", MediaType: "text/plain", Data: "some notes"}
	pdf := chat.Source{Type: "base64", MediaType: "application/pdf", Data: encode64(minimalPDF)}
	long := "https://example.com/" + strings.Repeat("a", 8<<10-20)
	for name, tc := range map[string]struct {
		part string
		want chat.Block
	}{
		"a data address":              {`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + dot + `","detail":"high"}}`, pictureOf("image/png", dot)},
		"one that stands alone":       {`{"type":"image_url","image_url":"data:image/png;base64,` + dot + `"}`, pictureOf("image/png", dot)},
		"one with parameters":         {`{"type":"image_url","image_url":"DATA:image/png;name=a.png;BASE64,` + dot + `"}`, pictureOf("image/png", dot)},
		"one without a type":          {`{"type":"image_url","image_url":"data:;base64,` + dot + `"}`, pictureOf("image/png", dot)},
		"an escaped one":              {`{"type":"image_url","image_url":"data:image/png;base64,` + strings.ReplaceAll(strings.ReplaceAll(dot, "+", "%2B"), "=", "%3d") + `"}`, pictureOf("image/png", dot)},
		"escaped slashes":             {`{"type":"image_url","image_url":"data:image\/png;base64,` + strings.ReplaceAll(dot, "/", `\/`) + `"}`, pictureOf("image/png", dot)},
		"a png called a jpeg":         {`{"type":"image_url","image_url":"data:image/jpeg;base64,` + dot + `"}`, pictureOf("image/png", dot)},
		"a jpeg called a gif":         {`{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"` + jpg + `"}}`, pictureOf("image/jpeg", jpg)},
		"a gif":                       {`{"type":"image","source":{"type":"base64","data":"` + gf + `"}}`, pictureOf("image/gif", gf)},
		"the other alphabet":          {`{"type":"image_url","image_url":"data:image/png;base64,` + strings.NewReplacer("+", "-", "/", "_").Replace(dot) + `"}`, pictureOf("image/png", dot)},
		"no padding":                  {`{"type":"image_url","image_url":"data:image/png;base64,` + strings.TrimRight(dot, "=") + `"}`, pictureOf("image/png", dot)},
		"line breaks":                 {`{"type":"image_url","image_url":"data:image/png;base64,` + dot[:40] + `\r\n ` + dot[40:] + `\n"}`, pictureOf("image/png", dot)},
		"bits that mean nothing":      {`{"type":"image","source":{"type":"base64","data":"` + strings.TrimSuffix(dot, "g==") + `h=="}}`, pictureOf("image/png", dot)},
		"cache_control does not pass": {`{"type":"image","cache_control":{"type":"ephemeral"},"source":{"type":"base64","data":"` + dot + `"}}`, pictureOf("image/png", dot)},
		"a web address":               {`{"type":"image_url","image_url":{"url":"https://example.com/a.png?x=1#y"}}`, address(chat.BlockImage, "https://example.com/a.png?x=1#y")},
		"the longest address":         {`{"type":"image_url","image_url":{"url":"` + long + `"}}`, address(chat.BlockImage, long)},
		"an image's address":          {`{"type":"image","source":{"type":"url","url":"http://127.0.0.1/a"}}`, address(chat.BlockImage, "http://127.0.0.1/a")},
		"a file of text":              {`{"type":"file","file":{"filename":"notes.md","file_data":"data:text/markdown;charset=utf-8;base64,` + encode64("some notes") + `"}}`, document("notes.md", text)},
		"a bare file of text":         {`{"type":"file","file":{"file_data":"` + encode64("some notes") + `"}}`, document("", text)},
		"a blank file name":           {`{"type":"file","file":{"filename":" ","file_data":"` + encode64("some notes") + `"}}`, document("", text)},
		"a pdf":                       {`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + encode64(minimalPDF) + `"}}`, document("a.pdf", pdf)},
		"a bare pdf":                  {`{"type":"file","file":{"filename":"a.pdf","file_data":"` + encode64(minimalPDF) + `"}}`, document("a.pdf", pdf)},
		"a pdf called text":           {`{"type":"file","file":{"file_data":"data:text/plain;base64,` + encode64(minimalPDF) + `"}}`, document("", pdf)},
		"a document of text":          {`{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"some notes"},"citations":{"enabled":true},"cache_control":{"type":"ephemeral"}}`, document("t", text)},
		"a document of bytes":         {`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + encode64(minimalPDF) + `"}}`, document("", pdf)},
		"a document's address":        {`{"type":"document","source":{"type":"url","url":"https://example.com/a.pdf"}}`, address(chat.BlockDocument, "https://example.com/a.pdf")},
		"a document's context": {`{"type":"document","context":"of the court","source":{"type":"text","data":"some notes"}}`,
			chat.Block{Type: chat.BlockDocument, Context: "of the court", Source: &text}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeParts(tc.part)
			if err != nil {
				t.Fatal(err)
			}
			want := []chat.Message{{Role: chat.RoleUser, Content: []chat.Block{tc.want}}}
			if a, b := dump([]chat.Message{{Role: chat.RoleUser, Content: got}}), dump(want); a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
			if _, err := chat.Canonical(want); err != nil {
				t.Errorf("alone it is no message: %v", err)
			}
		})
	}
}

func TestThePlaceOfAPictureIsKept(t *testing.T) {
	for part, want := range map[string]string{
		`{"type":"image_url","image_url":"data:;base64,` + dot + `"}`:         "messages[0].content[1].image_url",
		`{"type":"image_url","image_url":{"url":"data:;base64,` + dot + `"}}`: "messages[0].content[1].image_url.url",
		`{"type":"image","source":{"type":"base64","data":"` + dot + `"}}`:    "messages[0].content[1].source.data",
	} {
		blocks, err := decodeParts(`{"type":"text","text":"a"}`, part)
		if err != nil || blocks[1].Source.At != want {
			t.Errorf("%v (%v), want %s", blocks, err, want)
		}
	}
}

func TestPartsThatAreRefused(t *testing.T) {
	const at = "messages[0].content[0]"
	image := func(url string) string { return `{"type":"image_url","image_url":{"url":"` + url + `"}}` }
	file := func(data string) string { return `{"type":"file","file":{"filename":"a","file_data":"` + data + `"}}` }
	for name, tc := range map[string]struct{ part, param string }{
		"no address":                {`{"type":"image_url"}`, at + ".image_url"},
		"a null address":            {`{"type":"image_url","image_url":null}`, at + ".image_url"},
		"an object without address": {`{"type":"image_url","image_url":{"detail":"low"}}`, at + ".image_url.url"},
		"an address that is none":   {`{"type":"image_url","image_url":{"url":5}}`, at + ".image_url.url"},
		"an array as address":       {`{"type":"image_url","image_url":[]}`, at + ".image_url"},
		"data that is not base64":   {image("data:image/png,abc"), at + ".image_url.url"},
		"data without a comma":      {image("data:image/png;base64"), at + ".image_url.url"},
		"no data":                   {image("data:image/png;base64,"), at + ".image_url.url"},
		"only padding":              {image("data:image/png;base64,===="), at + ".image_url.url"},
		"only line breaks":          {image(`data:image/png;base64,\n`), at + ".image_url.url"},
		"a strange character":       {image("data:image/png;base64,iVBO!w0K"), at + ".image_url.url"},
		"a character of Unicode":    {image("data:image/png;base64,iVBOéw0K"), at + ".image_url.url"},
		"padding in the middle":     {image("data:image/png;base64,iVB=Rw0KGgo="), at + ".image_url.url"},
		"too much padding":          {image("data:image/png;base64," + dot + "="), at + ".image_url.url"},
		"half a character":          {image("data:image/png;base64,iVBOR"), at + ".image_url.url"},
		"a broken escape":           {image("data:image/png;base64,iVB%2"), at + ".image_url.url"},
		"a picture of another kind": {image("data:image/bmp;base64," + encode64("BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00")), at + ".image_url.url"},
		"text as picture":           {image("data:image/png;base64," + encode64("hello, hello, hello")), at + ".image_url.url"},
		"a pdf as picture":          {image("data:image/png;base64," + encode64(minimalPDF)), at + ".image_url.url"},
		"half a header":             {image("data:image/png;base64," + dot[:24]), at + ".image_url.url"},
		"a decompression bomb":      {image("data:image/png;base64," + announced(65535, 65535)), at + ".image_url.url"},
		"a file's address":          {image("file:///etc/passwd"), at + ".image_url.url"},
		"a path":                    {image("/etc/passwd"), at + ".image_url.url"},
		"an address without host":   {image("https:///a.png"), at + ".image_url.url"},
		"an address with a user":    {image("https://a:b@example.com/"), at + ".image_url.url"},
		"an unreadable address":     {image("https://exa mple.com/"), at + ".image_url.url"},
		"an endless address":        {image("https://example.com/" + strings.Repeat("a", 8<<10)), at + ".image_url.url"},
		"no source":                 {`{"type":"image"}`, at + ".source"},
		"a source without type":     {`{"type":"image","source":{}}`, at + ".source.type"},
		"a kept file":               {`{"type":"image","source":{"type":"file","file_id":"x"}}`, at + ".source.type"},
		"a source without data":     {`{"type":"image","source":{"type":"base64"}}`, at + ".source.data"},
		"a source without url":      {`{"type":"image","source":{"type":"url"}}`, at + ".source.url"},
		"a source of blocks":        {`{"type":"document","source":{"type":"content","content":"x"}}`, at + ".source.type"},
		"a document that is no pdf": {`{"type":"document","source":{"type":"base64","data":"` + encode64("hello") + `"}}`, at + ".source.data"},
		"a blank document":          {`{"type":"document","source":{"type":"text","data":" "}}`, at + ".source.data"},
		"a title that is none":      {`{"type":"document","title":1,"source":{"type":"text","data":"a"}}`, at + ".title"},
		"an endless title":          {`{"type":"document","title":"` + strings.Repeat("é", 501) + `","source":{"type":"text","data":"a"}}`, at + ".title"},
		"a context that is none":    {`{"type":"document","context":1,"source":{"type":"text","data":"a"}}`, at + ".context"},
		"no file":                   {`{"type":"file"}`, at + ".file"},
		"an empty file part":        {`{"type":"file","file":{}}`, at + ".file.file_data"},
		"a file by its id":          {`{"type":"file","file":{"file_id":"file-1"}}`, at + ".file.file_id"},
		"an empty file":             {file(""), at + ".file.file_data"},
		"a blank file":              {file(encode64(" \n")), at + ".file.file_data"},
		"bytes that are no text":    {file(encode64("\xff\xfe\x00")), at + ".file.file_data"},
		"text with zeros":           {file(encode64("a\x00b")), at + ".file.file_data"},
		"a picture as file":         {file("data:image/png;base64," + dot), at + ".file.file_data"},
		"a pdf that is none":        {file("data:application/pdf;base64," + encode64("hello")), at + ".file.file_data"},
		"a file name that is none":  {`{"type":"file","file":{"filename":1,"file_data":"` + encode64("a") + `"}}`, at + ".file.filename"},
		"a result of a tool":        {`{"type":"tool_result","tool_use_id":"x"}`, at + ".type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeParts(tc.part)
			mustBeAt(t, err, tc.param)
		})
	}
}

func mustBeAt(t *testing.T, err error, param string) {
	t.Helper()
	e, ok := errors.AsType[*chat.Error](err)
	if !ok || e.Code != chat.CodeInvalid || e.Param != param {
		t.Errorf("error %v, want invalid_request at %s", err, param)
	}
}

// announced is a GIF picture of which nothing is there but the size.
func announced(w, h int) string {
	return encode64("GIF89a" + string([]byte{byte(w), byte(w >> 8), byte(h), byte(h >> 8), 0, 0, 0}))
}

func TestOnlyUsersAndToolsShowPictures(t *testing.T) {
	shown := `[{"type":"image_url","image_url":"data:;base64,` + dot + `"}]`
	for _, messages := range map[string]string{
		"system":    `{"role":"system","content":` + shown + `}`,
		"developer": `{"role":"user","content":"a"},{"role":"developer","content":` + shown + `}`,
		"assistant": `{"role":"user","content":"a"},{"role":"assistant","content":` + shown + `}`,
	} {
		_, err := Decode([]byte(`{"model":"m","messages":[` + messages + `]}`))
		mustBeAt(t, err, fmt.Sprintf("messages[%d].content[0].type", strings.Count(messages, "role")-1))
	}
	_, err := Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"x","content":[{"type":"file","file":{}}]}]}`))
	mustBeAt(t, err, "messages[1].content[0].type")
}

func TestPicturesOfARequestAreBounded(t *testing.T) {
	wide := `{"type":"image_url","image_url":"data:;base64,` + announced(7000, 7000) + `"}`
	small := `{"type":"image_url","image_url":"data:;base64,` + dot + `"}`
	for name, tc := range map[string]struct {
		part string
		fits int
	}{"pixels": {wide, 20}, "pictures": {small, 600}} {
		t.Run(name, func(t *testing.T) {
			parts := strings.Split(strings.Repeat(tc.part+"\n", tc.fits), "\n")[:tc.fits]
			if _, err := decodeParts(parts...); err != nil {
				t.Errorf("%d are too many: %v", tc.fits, err)
			}
			_, err := decodeParts(append(parts, tc.part)...)
			mustBeAt(t, err, fmt.Sprintf("messages[0].content[%d].image_url", tc.fits))
		})
	}
}

func TestDecodeNames(t *testing.T) {
	body := func(role, name, content string) string {
		return fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"a"},{"role":%q,"name":%s,"content":%s,"tool_call_id":"x"}]}`, role, name, content)
	}
	told := map[string]string{"user": "<name>alice</name>"}
	for _, role := range []string{"user", "assistant", "system", "developer", "tool"} {
		r, err := Decode([]byte(body(role, `"alice"`, `"hi"`)))
		if err != nil {
			t.Fatal(err)
		}
		first := r.Messages[1].Content[0]
		if want, ok := told[role]; ok && first.Text != want || !ok && strings.Contains(first.Text, "alice") {
			t.Errorf("%s: begins with %+v", role, first)
		}
		for _, name := range []string{`""`, `"a b"`, `"a<b"`, `"a>"`, `"|"`, `"\\"`, `"/"`, `"a\nb"`, `5`, `"` + strings.Repeat("é", 65) + `"`} {
			_, err := Decode([]byte(body(role, name, `"hi"`)))
			mustBeAt(t, err, "messages[1].name")
		}
	}
	for name, content := range map[string]string{"nothing": `""`, "blanks": `[{"type":"text","text":" "}]`} {
		r, err := Decode([]byte(body("user", `"alice"`, content)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = chat.Canonical(r.Messages)
		if mustBeAt(t, err, "messages[1].content"); t.Failed() {
			t.Errorf("a name makes %s a message", name)
		}
	}
	r, err := Decode([]byte(body("user", `"alice"`, `[{"type":"image_url","image_url":"data:;base64,`+dot+`"}]`)))
	if err != nil || len(r.Messages[1].Content) != 2 {
		t.Errorf("a named picture is %+v (%v)", r, err)
	}
}

func TestDecodeCallsAndResults(t *testing.T) {
	call := func(id, name, input string) chat.Block {
		return chat.Block{Type: chat.BlockToolUse, ID: id, Name: name, Input: json.RawMessage(input)}
	}
	result := func(id string, content ...chat.Block) chat.Block {
		return chat.Block{Type: chat.BlockToolResult, ToolUseID: id, Content: content}
	}
	for name, tc := range map[string]struct {
		calls, results string
		want           []chat.Block // of the assistant, then of the tools
	}{
		"a call": {`{"id":"c1","type":"function","function":{"name":"f","arguments":" {\"b\":1,\"a\":2.0}"}}`,
			`{"role":"tool","tool_call_id":"c1","content":"r"}`, []chat.Block{call("c1", "f", `{"a":2,"b":1}`), result("c1", content.Text("r"))}},
		"no arguments and no type": {`{"id":"c1","function":{"name":"f","arguments":""}}`,
			`{"role":"tool","tool_call_id":"c1","content":""}`, []chat.Block{call("c1", "f", `{}`), result("c1")}},
		"names and ids of another form": {`{"id":"a.b","function":{"name":"x y","arguments":"{}"}}`,
			`{"role":"tool","tool_call_id":"a.b","content":"r"}`, []chat.Block{call("enc_a_2eb", "enc_x_20y", `{}`), result("enc_a_2eb", content.Text("r"))}},
		"results in another order": {`{"id":"1","function":{"name":"f","arguments":"{}"}},{"id":"2","function":{"name":"f","arguments":"{}"}}`,
			`{"role":"tool","tool_call_id":"2","content":"r2"},{"role":"tool","tool_call_id":"1","content":"r1"}`,
			[]chat.Block{call("1", "f", `{}`), call("2", "f", `{}`), result("1", content.Text("r1")), result("2", content.Text("r2"))}},
		"a picture in a result": {`{"id":"1","function":{"name":"f","arguments":"{}"}}`,
			`{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":"data:;base64,` + dot + `"}]}`,
			[]chat.Block{call("1", "f", `{}`), result("1", content.Text("look"), pictureOf("image/png", dot))}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[` + tc.calls + `]},` + tc.results + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			messages, err := chat.Canonical(r.Messages)
			if err != nil || len(messages) != 3 {
				t.Fatalf("%+v (%v)", messages, err)
			}
			n := len(messages[1].Content)
			want := []chat.Message{messages[0], {Role: chat.RoleAssistant, Content: tc.want[:n]}, {Role: chat.RoleUser, Content: tc.want[n:]}}
			if a, b := dump(messages), dump(want); a != b {
				t.Errorf("got\n%s\nwant\n%s", a, b)
			}
		})
	}
}

func TestCallsAndResultsThatAreRefused(t *testing.T) {
	const call = "messages[1].tool_calls[0]"
	for name, tc := range map[string]struct{ message, param string }{
		"a custom call":              {`"role":"assistant","tool_calls":[{"id":"x","type":"custom","custom":{"name":"f","input":"x"}}]`, call + ".type"},
		"a call without id":          {`"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]`, call + ".id"},
		"an empty id":                {`"role":"assistant","tool_calls":[{"id":"","function":{"name":"f","arguments":"{}"}}]`, call + ".id"},
		"an endless id":              {`"role":"assistant","tool_calls":[{"id":"` + strings.Repeat("a", 2049) + `","function":{"name":"f","arguments":"{}"}}]`, call + ".id"},
		"a call without function":    {`"role":"assistant","tool_calls":[{"id":"x"}]`, call + ".function"},
		"a call without name":        {`"role":"assistant","tool_calls":[{"id":"x","function":{"arguments":"{}"}}]`, call + ".function.name"},
		"an empty name":              {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"","arguments":"{}"}}]`, call + ".function.name"},
		"an endless name":            {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"` + strings.Repeat("é", 21) + `","arguments":"{}"}}]`, call + ".function.name"},
		"no arguments":               {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f"}}]`, call + ".function.arguments"},
		"arguments as object":        {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":{}}}]`, call + ".function.arguments"},
		"arguments in an array":      {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":"[1]"}}]`, call + ".function.arguments"},
		"arguments that are no JSON": {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{a:1}"}}]`, call + ".function.arguments"},
		"two objects as arguments":   {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}{}"}}]`, call + ".function.arguments"},
		"a number without end":       {`"role":"assistant","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{\"a\":1e999}"}}]`, call + ".function.arguments"},
		"a call that is a string":    {`"role":"assistant","tool_calls":["x"]`, call},
		"a result without id":        {`"role":"tool","content":"r"`, "messages[1].tool_call_id"},
		"a result without content":   {`"role":"tool","tool_call_id":"x"`, "messages[1].content"},
		"a result that is an object": {`"role":"tool","tool_call_id":"x","content":{}`, "messages[1].content"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(`{"model":"m","messages":[{"role":"user","content":"q"},{` + tc.message + `}]}`))
			mustBeAt(t, err, tc.param)
		})
	}
}

// What a body of pictures costs beside itself is one copy of each.
func BenchmarkDecodePictures(b *testing.B) {
	var body bytes.Buffer
	body.WriteString(`{"model":"m","messages":[{"role":"user","content":[`)
	data := dot + strings.Repeat("AAAA", 250_000)
	for i := range 40 {
		if i > 0 {
			body.WriteByte(',')
		}
		body.WriteString(`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.ReplaceAll(data, "=", "A") + `"}}`)
	}
	body.WriteString(`]}]}`)
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
