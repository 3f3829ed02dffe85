package queue

import (
	"strings"

	"github.com/nats-io/nats.go"
)

const deskGroup = "desk"

// desk passes on what joined workers have for the broker's own services, and their answers to owners.
//
// The broker answers a pull or an acknowledgement wherever its reply subject says, with its own rights: a worker that
// named one of the broker's subjects there would have a stream deleted in answer to its pull (nats-server 2.15.2). So no
// joined worker asks the broker itself, and the desk sends on only what is answered to who asked. Which subjects a
// worker may have passed on, its permissions say.
func (r *Registry) desk(m *nats.Msg) {
	worker, subject, ok := cutVia(m.Subject)
	if !ok || m.Reply != "" && !strings.HasPrefix(m.Reply, memberInbox(worker)+".") {
		r.calm.Warn().Str("worker", worker).Msg("a worker asked for an answer to somebody else: not passed on")
		return
	}
	if err := r.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: m.Reply, Data: m.Data}); err != nil {
		r.log.Debug().Err(err).Str("worker", worker).Msg("not passed on")
	}
}

func cutVia(via string) (worker, subject string, ok bool) {
	_, rest, _ := strings.Cut(via, ".")
	return strings.Cut(rest, ".")
}

// isInbox tells whether a reply subject is a client's. An answer to any other would be an order to the broker, given with
// the rights of who answers.
func isInbox(reply string) bool { return strings.HasPrefix(reply, "_INBOX") }
