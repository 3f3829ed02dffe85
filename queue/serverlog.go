package queue

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// serverLog passes the server's lines on, quietly: its notices are debug lines here.
type serverLog struct {
	log    zerolog.Logger
	calm   zerolog.Logger // most errors are of clients that fail to come in
	once   zerolog.Logger // once a minute: a client that does not know this node tries again and again
	redact *strings.Replacer

	mu  sync.Mutex
	err error // the first fatal line; the server reports a taken port in no other way
}

// calm is a logger for what a client can cause as often as it likes: of a flood it tells the beginning, and then a sample.
func calm(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 20, Period: 10 * time.Second, NextSampler: &zerolog.BasicSampler{N: 1000}})
}

func newServerLog(log zerolog.Logger, secrets ...string) *serverLog {
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "[secret]")
		}
	}
	log = log.With().Str("part", "broker").Logger()
	once := log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	return &serverLog{log: log, calm: calm(log), once: once, redact: strings.NewReplacer(pairs...)}
}

func (l *serverLog) line(format string, args []any) string {
	return l.redact.Replace(fmt.Sprintf(format, args...))
}

func (l *serverLog) Noticef(format string, args ...any) { l.log.Debug().Msg(l.line(format, args)) }
func (l *serverLog) Debugf(format string, args ...any)  { l.log.Debug().Msg(l.line(format, args)) }
func (l *serverLog) Tracef(format string, args ...any)  { l.log.Trace().Msg(l.line(format, args)) }
func (l *serverLog) Warnf(format string, args ...any)   { l.log.Warn().Msg(l.line(format, args)) }

func (l *serverLog) Errorf(format string, args ...any) {
	line := l.line(format, args)
	if isDistrusted(line) {
		l.once.Warn().Str("client", line).Msg("a client takes this node for another: a worker whose invitation is of another authority has to join again (`maxrelay worker revoke`, `add`, `join`)")
		return
	}
	l.calm.Warn().Msg(line)
}

// isDistrusted tells the server's line of a client that ended the handshake because of the node's certificate, which is
// all that the node hears: who the client is comes after it (nats-server 2.15.2, RFC 8446 section 6.2).
func isDistrusted(line string) bool {
	return strings.Contains(line, "TLS handshake error") && strings.Contains(line, "bad certificate")
}

func (l *serverLog) Fatalf(format string, args ...any) {
	line := l.line(format, args)
	l.log.Error().Msg(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = ofListener(format, errors.New(line))
	}
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// ofListener says which address could not be had, by the server's words (nats-server 2.15.2).
func ofListener(format string, err error) error {
	switch {
	case strings.HasPrefix(format, "Error listening on port"):
		return ofSetting("listen", err)
	case strings.HasPrefix(format, "Error listening on router port"):
		return ofSetting("cluster.listen", err)
	}
	return err
}
