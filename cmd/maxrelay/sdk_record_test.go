package main

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"maxrelay/api/anthropic/messagestest"
	"maxrelay/api/openai/openaitest"
)

// recorder is a proxy that keeps what clients and the program say to one another.
type recorder struct {
	url    string
	target *url.URL
	server *httptest.Server

	mu  sync.Mutex
	all []*recorded
}

// recorded is one request and its answer; the recorder's mutex guards what the answer
// changes.
type recorded struct {
	path   string
	asked  []byte
	form   string // of the answer that a client of Anthropic's wants: its anthropic-version
	status int
	header http.Header
	answer []byte
	whole  bool // the answer came to its end
}

func record(t *testing.T, target string) *recorder {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{target: u}
	rec.server = httptest.NewServer(rec)
	rec.url = rec.server.URL
	t.Cleanup(rec.server.Close)
	return rec
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(asked))
	e := &recorded{path: r.URL.Path, asked: asked, form: r.Header.Get("Anthropic-Version")}
	rec.mu.Lock()
	rec.all = append(rec.all, e)
	rec.mu.Unlock()
	proxy := httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(rec.target) },
		Transport:     client.Transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // clients that leave
		ModifyResponse: func(resp *http.Response) error {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			e.status, e.header = resp.StatusCode, resp.Header.Clone()
			resp.Body = &tape{resp.Body, rec, e}
			return nil
		},
	}
	proxy.ServeHTTP(w, r)
}

// tape keeps a body as it is read.
type tape struct {
	io.ReadCloser
	rec *recorder
	e   *recorded
}

func (t *tape) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.rec.mu.Lock()
	defer t.rec.mu.Unlock()
	t.e.answer = append(t.e.answer, p[:n]...)
	t.e.whole = t.e.whole || errors.Is(err, io.EOF)
	return n, err
}

// about returns what was asked and answered in the conversation that begins with this
// text.
func (rec *recorder) about(opening string) (found []recorded) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, e := range rec.all {
		if e.opens(opening) {
			found = append(found, *e)
		}
	}
	return found
}

// mustKeepToTheSchemas checks every answer there was, once all have ended.
func (rec *recorder) mustKeepToTheSchemas(t *testing.T) {
	t.Helper()
	rec.server.Close()
	for _, e := range rec.all {
		e.mustKeepToTheSchema(t)
	}
}

func (e *recorded) mustKeepToTheSchema(t *testing.T) {
	t.Helper()
	stream := strings.HasPrefix(e.header.Get("Content-Type"), "text/event-stream")
	switch messages := strings.HasPrefix(e.path, "/v1/messages"); {
	case e.status == 0:
		t.Errorf("%s was not answered", e.path)
	case e.path == "/api/hello": // by which the CLI looks whether a server is there, HEAD
	case messages && e.status != http.StatusOK:
		messagestest.Validate(t, messagestest.Error, e.answer)
	case messages && stream && e.whole:
		messagestest.Stream(t, e.answer)
	case messages && stream:
		messagestest.Left(t, e.answer)
	case messages:
		messagestest.Validate(t, messagestest.Message, e.answer)
	case e.form != "" && e.path == "/v1/models":
		messagestest.Validate(t, messagestest.Models, e.answer)
	case e.form != "":
		messagestest.Validate(t, messagestest.Model, e.answer)
	case e.status != http.StatusOK:
		openaitest.Validate(t, openaitest.Error, e.answer)
	case stream:
		openaitest.Stream(t, e.stream())
	case e.path == "/v1/models":
		openaitest.Validate(t, openaitest.Models, e.answer)
	case strings.HasPrefix(e.path, "/v1/models/"):
		openaitest.Validate(t, openaitest.Model, e.answer)
	default:
		openaitest.Validate(t, openaitest.Completion, e.answer)
	}
}

// stream returns the answer; one that its client left before the end is made a whole one.
func (e *recorded) stream() []byte {
	complete := e.answer[:bytes.LastIndex(e.answer, []byte("\n\n"))+2]
	last := complete[bytes.LastIndex(bytes.TrimSuffix(complete, []byte("\n\n")), []byte("\n\n"))+1:]
	if e.whole || bytes.Contains(last, []byte("data: [DONE]")) || bytes.Contains(last, []byte(`data: {"error"`)) {
		return e.answer
	}
	return append(bytes.Clone(complete), "data: [DONE]\n\n"...)
}
