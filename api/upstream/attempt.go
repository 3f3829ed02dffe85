package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// RoundTrip asks one upstream after the other until one has an answer for the client,
// or none is left: then that of the last one is the client's, whatever it is.
func (p *passage) RoundTrip(out *http.Request) (resp *http.Response, err error) {
	for i := range p.f.targets {
		if i > 0 {
			discard(resp)
		}
		var v verdict
		if resp, v, err = p.ask(out, &p.f.targets[i]); v == answer {
			break
		}
	}
	return resp, err
}

// ask tries one upstream as often as it may be tried. Its verdict is never again.
func (p *passage) ask(out *http.Request, t *target) (*http.Response, verdict, error) {
	for n := 0; ; n++ {
		resp, err := p.attempt(out, t)
		if p.ctx.Err() != nil {
			discard(resp)
			return nil, answer, context.Cause(p.ctx)
		}
		v := judge(resp, err)
		if v == answer {
			return resp, v, err
		}
		p.logFailed(t, resp, err)
		wait := backoff(headerOf(resp), p.f.cfg.Backoff, n, time.Now())
		if v == next || n >= t.retries || wait > maxRetryAfter {
			return resp, next, err
		}
		discard(resp)
		if err := p.f.pause(p.ctx, wait); err != nil {
			return nil, answer, err
		}
	}
}

// attempt's context is the client's own and not out's, through which ReverseProxy would
// pass on 1xx answers of attempts that fail.
func (p *passage) attempt(out *http.Request, t *target) (*http.Response, error) {
	p.result.Upstream, p.asking = t.name, true
	p.result.Attempts++
	ctx, cancel := context.WithCancelCause(p.ctx)
	timer := time.AfterFunc(t.timeout, func() { cancel(errTimeout) })
	resp, err := p.f.transport.RoundTrip(p.request(ctx, out, t))
	if !timer.Stop() && p.ctx.Err() == nil {
		discard(resp)
		return nil, errTimeout
	}
	if err != nil || resp.StatusCode >= 400 {
		p.asking = p.ctx.Err() != nil
	}
	return resp, err
}

// request is made anew for each attempt, from a body that is never used up.
func (p *passage) request(ctx context.Context, out *http.Request, t *target) *http.Request {
	r := out.Clone(ctx)
	r.URL, r.Host = t.at(p.in.URL), t.root.Host
	if t.key != "" {
		r.Header.Set("X-Api-Key", t.key)
	}
	if len(p.body) > 0 {
		r.ContentLength = int64(len(p.body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.body)), nil }
		r.Body, _ = r.GetBody()
	}
	return r
}

func discard(resp *http.Response) {
	if resp != nil {
		resp.Body.Close()
	}
}

func headerOf(resp *http.Response) http.Header {
	if resp == nil {
		return nil
	}
	return resp.Header
}

func (p *passage) logFailed(t *target, resp *http.Response, err error) {
	event := p.f.log.Warn().Str("upstream", t.name).Str("key", p.who.ID).Int("attempt", p.result.Attempts)
	if err != nil {
		event.Str("reason", reason(err)).Msg("upstream failed")
		return
	}
	event.Int("status", resp.StatusCode).Msg("upstream failed")
}

// reason keeps an upstream's own words out of the log: what broke an answer may be a
// piece of it.
func reason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op.Error()
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return certificate.Error()
	}
	if errors.Is(err, errTimeout) {
		return errTimeout.Error()
	}
	return "the connection broke"
}
