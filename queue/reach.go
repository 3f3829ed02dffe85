package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// SettingError is a failure that is mended by one setting, or by what it names.
type SettingError struct {
	Setting string // below nats in the configuration: url, listen, cluster.listen, store, token_file, credentials, tls.cert, tls.key
	Err     error
}

func (e *SettingError) Error() string { return e.Err.Error() }

func (e *SettingError) Unwrap() error { return e.Err }

func ofSetting(name string, err error) error {
	if err == nil {
		return nil
	}
	return &SettingError{name, err}
}

// trial is one attempt to connect. It keeps why there was no connection, which the client library says of no server that
// refuses (nats.go 1.55).
type trial struct {
	timeout time.Duration
	err     error // the last
}

func (t *trial) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, t.timeout)
	if err != nil {
		t.err = err
	}
	return conn, err
}

func (t *trial) explain(err error) error {
	if errors.Is(err, nats.ErrNoServers) && t.err != nil {
		return t.err
	}
	return err
}

// reach makes one throw-away connection: a wrong address or credential is an error at the start, not a log line later.
func (b *Broker) reach(ctx context.Context) error {
	t := &trial{timeout: nats.DefaultTimeout}
	nc, err := dial(b.cfg.URL, DialOptions{Name: "probe", Credentials: b.cfg.Credentials}, nats.RetryOnFailedConnect(false), nats.SetCustomDialer(t))
	if _, ok := errors.AsType[*SettingError](err); ok {
		return err
	}
	if err != nil {
		return ofSetting("url", fmt.Errorf("reaching the broker %s: %w", cleanURL(b.cfg.URL), t.explain(err)))
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return ofSetting("url", fmt.Errorf("reaching the broker %s: %w", cleanURL(b.cfg.URL), err))
	}
	return nil
}

func checkReadable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}

// tryWait bounds a look at one address.
const tryWait = 3 * time.Second

// TryMember connects as a joined worker does, once, and returns why no node takes it.
func TryMember(c Credentials) error {
	var errs []error
	for _, address := range c.URLs {
		switch err := tryNode(c, address); {
		case err == nil, errors.Is(err, errNotAdmitted):
			return err
		default:
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
		}
	}
	return errors.Join(errs...)
}

func tryNode(c Credentials, address string) error {
	id := NewWorkerID(c.Name)
	key, err := c.prove()
	if err != nil {
		return err
	}
	t := &trial{timeout: tryWait}
	nc, err := nats.Connect(tlsURLs([]string{address}), nats.Name(id), key, nats.Secure(c.Anchor.Client()),
		nats.Timeout(tryWait), nats.NoReconnect(), nats.SetCustomDialer(t), nats.CustomInboxPrefix(memberInbox(id)))
	switch {
	case isRefusal(err):
		return errNotAdmitted
	case err != nil:
		return t.explain(err)
	}
	nc.Close()
	return nil
}
