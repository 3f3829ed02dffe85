package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/session/chat"
)

// ErrCut says that an answer ended before its end, after the client had seen its begin.
var ErrCut = errors.New("answer was cut")

// Forwarder passes requests on. It is safe for concurrent use. The zero value has no
// upstream.
type Forwarder struct {
	cfg       Config
	targets   []target
	transport *http.Transport
	log       zerolog.Logger
	pause     func(context.Context, time.Duration) error // between attempts
}

// New returns a Forwarder. Close ends its idle connections.
func New(cfg Config, log zerolog.Logger) (*Forwarder, error) {
	f := &Forwarder{cfg: cfg.withDefaults(), transport: newTransport(), log: log, pause: pause}
	for i, u := range cfg.Upstreams {
		t, err := newTarget(u)
		if err != nil {
			return nil, fmt.Errorf("upstream %d: %w", i+1, err)
		}
		f.targets = append(f.targets, t)
	}
	return f, nil
}

// newTransport follows no redirects, which no Transport does, and neither asks for
// compression nor takes it off.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// Configured reports whether there is an upstream.
func (f *Forwarder) Configured() bool { return len(f.targets) > 0 }

// Keyed reports whether an upstream has a key of its own, with which it answers any
// model request.
func (f *Forwarder) Keyed() bool {
	return slices.ContainsFunc(f.targets, func(t target) bool { return t.key != "" })
}

// Close ends the connections that no request uses.
func (f *Forwarder) Close() { f.transport.CloseIdleConnections() }

// Result is what became of a request.
type Result struct {
	Upstream string // the name of the one that was asked last; "" for none
	Attempts int    // at all of them
	Status   int    // that the client got; 0 when nothing was sent
	Code     chat.Code

	Answered string // the model's name as the upstream tells it

	Usage     chat.Usage
	Estimated bool // Usage is not, or not only, the upstream's count

	Bytes int64     // of the answer's body
	First time.Time // its first byte; zero when there was none
}

// Serve answers a request whose body was read whole and looked at. It must have been: an
// answer may begin before the body ended, and net/http closes the body then.
//
// Its error is a *chat.Error when there is no answer: nothing was sent then, and it is the
// caller's to tell. Or it is ErrCut, and then the caller panics with http.ErrAbortHandler
// when it has recorded the result, so that the client too sees the answer as cut.
func (f *Forwarder) Serve(w http.ResponseWriter, r *http.Request, body []byte, asked Asked, who key.Identity) (Result, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p := &passage{f: f, ctx: ctx, w: w, in: r, body: body, asked: asked, who: who, meter: new(meter)}
	if err := f.Check(w.Header(), r); err != nil {
		return p.result, err
	}
	err := p.run()
	p.count()
	return p.result, err
}
