package queue

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"maxrelay/queue/trust"
)

// DialMember connects a joined worker under an id of NewWorkerID. Like Dial it keeps trying for ever.
func DialMember(c Credentials, id string, log zerolog.Logger) (*nats.Conn, error) {
	proof, err := c.prove()
	if err != nil {
		return nil, err
	}
	r := &refusals{log: log}
	all := append(connOptions(id, log), nats.CustomInboxPrefix(memberInbox(id)), proof, nats.Secure(r.hear(c.Anchor.Client())),
		nats.CustomReconnectDelay(r.pause), nats.ReconnectHandler(func(*nats.Conn) {
			r.forget()
			logBack(log, id)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { r.say(err) }),
		nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if isRefusal(err) {
				r.say(err)
			} else {
				logError(log, id, sub, err)
			}
		}))
	nc, err := nats.Connect(tlsURLs(c.URLs), all...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	return nc, nil
}

// prove signs what a node asks to have signed, with the worker's key.
func (c Credentials) prove() (nats.Option, error) {
	key, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		return nil, errBrokenKey
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, errBrokenKey
	}
	return nats.Nkey(public, key.Sign), nil
}

var (
	errBrokenKey   = errors.New("the worker's key is broken: join again")
	errNotAdmitted = errors.New("this worker is not admitted: it was revoked, or its time is over; " +
		"`maxrelay worker add` on the node makes a new invitation for `maxrelay worker join` here")
)

func isRefusal(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired)
}

// refusals tells why a joined worker has no connection, once for each reason in a row: it is tried several times a
// second.
type refusals struct {
	log zerolog.Logger

	mu   sync.Mutex
	said string // "" while there was none
}

// refusedPause is between two attempts of a worker that is not admitted, or that does not take the node for its own: each
// is a line in the node's log.
const refusedPause = 10 * time.Second

// pause is between two rounds of attempts.
func (r *refusals) pause(int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said == errNotAdmitted.Error() || r.said == trust.ErrStranger.Error() {
		return refusedPause
	}
	return reconnectWait + rand.N(reconnectWait)
}

// forget is for a connection that is there.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = ""
}

func (r *refusals) say(err error) {
	if isRefusal(err) {
		err = errNotAdmitted
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said != err.Error() {
		r.said = err.Error()
		r.log.Warn().Err(err).Msg("no connection to the node, trying again")
	}
}

// hear makes the TLS of a client tell of nodes that are not the right ones: the client library keeps that to itself.
func (r *refusals) hear(c *tls.Config) *tls.Config {
	verify := c.VerifyConnection
	if verify == nil {
		return c // the library's own words come with the first attempt
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		err := verify(s)
		if err != nil {
			r.say(err)
		}
		return err
	}
	return c
}
