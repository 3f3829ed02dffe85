package queue

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue/trust"
)

// DialOptions say who connects and how it proves it. One of the three credentials is enough.
type DialOptions struct {
	Name        string
	Token       string
	TokenFile   string // read again at each connect, so that a worker may start before the node that writes it
	Credentials string // path of a NATS credentials file
	CAFile      string // certificate of the authority of a node on this machine, with TokenFile; "" for no TLS
	Log         zerolog.Logger
}

// Dial connects a process of its own, such as a worker, to the broker. It returns at once and keeps trying for ever:
// a broker that is not there yet is an ordinary start.
//
// Of a cluster, one address is enough: it tells the others. Whoever lists several goes to those alone, since what
// servers believe their addresses to be, as in a container, may lead nowhere from another machine.
func Dial(url string, opts DialOptions) (*nats.Conn, error) {
	nc, err := dial(url, opts)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	return nc, nil
}

func dial(url string, opts DialOptions, more ...nats.Option) (*nats.Conn, error) {
	all := connOptions(opts.Name, opts.Log)
	switch {
	case opts.Credentials != "":
		if err := checkReadable(opts.Credentials); err != nil {
			return nil, ofSetting("credentials", err)
		}
		all = append(all, nats.UserCredentials(opts.Credentials))
	case opts.Token != "":
		all = append(all, nats.Token(opts.Token))
	case opts.TokenFile != "":
		all = append(all, nats.TokenHandler(tokenReader(opts)))
		if opts.CAFile != "" {
			all = append(all, nats.Secure(trust.ClientOf(opts.CAFile)))
		}
	default:
		all = append(all, userInfo(url)...)
	}
	if strings.Contains(url, ",") {
		all = append(all, nats.IgnoreDiscoveredServers())
	}
	return nats.Connect(cleanURL(url), append(all, more...)...)
}

// tokenReader returns a handler that reads the file anew. It is asked several times a second while there is no
// connection, so a complaint is made once, and again when it changes. The client library calls it from one goroutine.
func tokenReader(opts DialOptions) func() string {
	said := ""
	return func() string {
		token, err := readToken(opts.TokenFile)
		if err == nil {
			said = ""
			return token
		}
		if err.Error() != said {
			said = err.Error()
			opts.Log.Warn().Err(err).Msg("broker token cannot be read")
		}
		return ""
	}
}

const reconnectWait = 200 * time.Millisecond // and as much again by chance

// connOptions are the same for all connections. The library's own pace (2 s between attempts, 60 of them, a ping each
// 2 min) is made for other uses than a stream of tokens.
func connOptions(name string, log zerolog.Logger) []nats.Option {
	errors := calm(log)
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomInboxPrefix(inboxPrefix(name)),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Str("connection", name).Msg("broker connection lost")
			}
		}),
		nats.ConnectHandler(func(*nats.Conn) {
			log.Debug().Str("connection", name).Msg("broker connection is there")
		}),
		nats.ReconnectHandler(func(*nats.Conn) { logBack(log, name) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) { logError(errors, name, sub, err) }),
	}
}

func logBack(log zerolog.Logger, name string) {
	log.Info().Str("connection", name).Msg("broker connection is back")
}

func logError(log zerolog.Logger, name string, sub *nats.Subscription, err error) {
	event := log.Warn().Err(err).Str("connection", name)
	if sub != nil {
		event = event.Str("subject", sub.Subject)
	}
	event.Msg("broker connection error")
}

// inboxPrefix keeps the answers to one client from the others, which may only listen to their own.
func inboxPrefix(name string) string { return "_INBOX_" + token(name) }

// userInfo takes the credential out of a URL list: the first one that is given.
func userInfo(list string) []nats.Option {
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.User == nil {
			continue
		}
		if password, ok := u.User.Password(); ok {
			return []nats.Option{nats.UserInfo(u.User.Username(), password)}
		}
		return []nats.Option{nats.Token(u.User.Username())}
	}
	return nil
}

// cleanURL drops credentials from a URL list, because the client library repeats its URLs in errors.
func cleanURL(list string) string {
	var clean []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if at := strings.LastIndexByte(one, '@'); at >= 0 {
			scheme, _, found := strings.Cut(one, "://")
			if one = one[at+1:]; found {
				one = scheme + "://" + one
			}
		}
		clean = append(clean, one)
	}
	return strings.Join(clean, ",")
}
