package upstream

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"maxrelay/api/key"
	"maxrelay/session/chat"
)

// passage is one request on its way there and back. It belongs to the goroutine of the
// request.
type passage struct {
	f     *Forwarder
	ctx   context.Context // of the client's request, and ended with Serve
	w     http.ResponseWriter
	in    *http.Request
	body  []byte
	asked Asked
	who   key.Identity

	asking bool        // an upstream may be working on it
	broke  error       // why reading the answer ended before its end
	failed *chat.Error // why there is no answer
	meter  *meter
	result Result
}

// run is done when the client has the answer. Its error says why it has none, or not all.
func (p *passage) run() (err error) {
	in := p.in.WithContext(p.ctx)
	in.Body, in.ContentLength = http.NoBody, 0 // each attempt has one of its own
	proxy := &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      p,
		ModifyResponse: p.inspect,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { p.failed = p.told(err) },
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0), // its words may be an upstream's
	}
	defer func() {
		switch cut := recover(); {
		case cut != nil && cut != http.ErrAbortHandler:
			panic(cut)
		case cut != nil || p.broke != nil:
			err = ErrCut
			p.result.Code = p.cutBy()
		case p.failed != nil:
			err = p.failed
			p.result.Code = p.failed.Code
		}
	}()
	proxy.ServeHTTP(p.w, in)
	return nil
}

// rewrite undoes what ReverseProxy does to a query. Where the request goes is decided
// for each attempt.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	clean(r.Out.Header)
}

var (
	errRefused  = &chat.Error{Code: chat.CodeAccount, Message: "the upstream refuses this server's own API key: its operator has to look at it"}
	errSwitched = &chat.Error{Code: chat.CodeUpstream, Message: "the upstream changed the protocol without being asked"}
)

// inspect sees the answer's header before the client does.
func (p *passage) inspect(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return errRefused
	case http.StatusSwitchingProtocols:
		return errSwitched
	}
	if err := gunzip(resp); err != nil {
		return err
	}
	if p.asked.UsesModel(p.in) {
		endWithServe(resp)
	}
	if resp.Header.Get("Request-Id") != "" {
		p.w.Header().Del("Request-Id") // the upstream's own is what its support asks for
	}
	cleanAnswer(resp.Header, p.w.Header())
	p.result.Status, p.result.Code = resp.StatusCode, codeOf(resp.StatusCode)
	if resp.Header.Get("Content-Encoding") == "" {
		p.meter = newMeter(resp.Header.Get("Content-Type"))
	}
	resp.Body = &tap{resp.Body, p}
	return nil
}

// endWithServe takes the length off, so that the client sees the answer's end when whoever
// serves it has counted what it used, and not when it has so many bytes.
func endWithServe(resp *http.Response) {
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
}

// gunzip is for upstreams that compress although they were asked not to, since the
// client may not be able to read that either. Other encodings are left to it.
func gunzip(resp *http.Response) error {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") || resp.Request.Method == http.MethodHead {
		return nil
	}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength = -1
	resp.Body = &unzipped{ReadCloser: resp.Body}
	return nil
}

// unzipped waits with the gzip header until it is read from, so that an answer's header
// need not wait for its body.
type unzipped struct {
	io.ReadCloser
	plain *gzip.Reader
}

func (u *unzipped) Read(b []byte) (n int, err error) {
	if u.plain == nil {
		if u.plain, err = gzip.NewReader(u.ReadCloser); err != nil {
			return 0, err
		}
	}
	return u.plain.Read(b)
}

// tap is the answer's body as it passes by.
type tap struct {
	io.ReadCloser
	p *passage
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if n > 0 && t.p.result.Bytes == 0 {
		t.p.result.First = time.Now()
	}
	t.p.result.Bytes += int64(n)
	t.p.meter.write(b[:n])
	if err != nil && err != io.EOF {
		t.p.broke = err
	}
	return n, err
}

// told returns what a client is told of an attempt's error.
func (p *passage) told(err error) *chat.Error {
	if known, ok := errors.AsType[*chat.Error](err); ok {
		return known
	}
	switch cause := context.Cause(p.ctx); {
	case errors.Is(cause, context.Canceled):
		return &chat.Error{Code: chat.CodeCancelled, Message: "the request was cancelled"}
	case errors.Is(cause, context.DeadlineExceeded):
		return &chat.Error{Code: chat.CodeTurnTimeout, Message: "the request took too long"}
	case cause != nil:
		return &chat.Error{Code: chat.CodeNoWorker, Message: "the server is stopping: try again"}
	case errors.Is(err, errTimeout):
		return &chat.Error{Code: chat.CodeUpstream, Message: "the upstream did not answer in time"}
	}
	return &chat.Error{Code: chat.CodeUpstream, Message: "the upstream cannot be reached, or broke the connection"}
}

// cutBy tells who cut an answer: a write that failed is the client's doing.
func (p *passage) cutBy() chat.Code {
	if p.broke == nil {
		return chat.CodeCancelled
	}
	return p.told(p.broke).Code
}

// count settles what the request used. Errors cost nothing; of an answer without counts,
// or without its end, what is missing is estimated.
func (p *passage) count() {
	p.meter.end()
	p.result.Answered, p.result.Usage = p.meter.model, p.meter.counts.usage()
	p.result.Code = cmp.Or(p.result.Code, p.meter.failed)
	if p.meter.final || !p.asking || !p.asked.UsesModel(p.in) {
		return
	}
	p.result.Estimated = true
	if p.result.Usage.PromptTokens() == 0 {
		p.result.Usage.InputTokens = p.promptTokens()
	}
	p.result.Usage.OutputTokens = max(p.result.Usage.OutputTokens, p.meter.said.tokens(p.f.cfg.Estimate))
}

func (p *passage) promptTokens() int {
	var prompt texts
	newScanner(&prompt).feed(p.body)
	return prompt.tokens(p.f.cfg.Estimate)
}
