package queue

import (
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// limited is a joined worker's connection that tells what the broker refuses.
type limited struct {
	t  *testing.T
	nc *nats.Conn

	mu      sync.Mutex
	refused error
}

func dialLimited(t *testing.T, c Credentials, id string) *limited {
	t.Helper()
	l := &limited{t: t}
	nc, err := nats.Connect(tlsURLs(c.URLs), nats.Name(id), nkeyOf(t, c), nats.Secure(c.Anchor.Client()), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refused = err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	l.nc = nc
	return l
}

// is tells whether the broker refused what was done just before.
func (l *limited) is(done error) bool {
	l.t.Helper()
	if done != nil {
		l.t.Fatal(done)
	}
	if err := l.nc.FlushWithContext(testContext(l.t)); err != nil { // refusals come before its answer
		l.t.Fatal(err)
	}
	// They are handed out by a goroutine of the client's own, which keeps the last one at once.
	refused := errors.Is(l.nc.LastError(), nats.ErrPermissionViolation)
	if refused {
		eventually(l.t, "the refusal", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.refused != nil
		})
	}
	return refused
}

func TestAJoinedWorkerMayDoNothingElse(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	c := join(t, r, "me", "std")
	const id = "me-123456"
	via := func(subject string) string { return viaSubject(id, subject) }

	allowed := []string{
		via("$JS.API.CONSUMER.MSG.NEXT.JOBS.q_std"), via("$JS.API.CONSUMER.MSG.NEXT.JOBS.w_" + id),
		via("$JS.ACK.JOBS.q_std.1.1.1.1.1"), via("$JS.ACK.JOBS.w_" + id + ".1.1.1.1.1"), via("_INBOX_api.x.y"),
		claimSubject(o.node, "std", id), ownerSubject(o.node, verbBody, id), ownerSubject(o.node, verbAlive, id),
		frameSubject(o.node, id, "job"), upSubject(id, verbBeat), upSubject(id, verbDirectory), upSubject(id, verbBye),
	}
	forbidden := []string{
		// what the broker keeps
		"$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.JOBS", "$JS.API.STREAM.CREATE.MINE",
		"$JS.API.STREAM.UPDATE.JOBS", "$JS.API.STREAM.PURGE.JOBS", "$JS.API.STREAM.DELETE.USAGE", "$JS.API.STREAM.MSG.GET.KV_KEYS",
		"$JS.API.STREAM.MSG.DELETE.JOBS", "$JS.API.DIRECT.GET.KV_KEYS", "$JS.API.DIRECT.GET.USAGE", "$JS.API.STREAM.SNAPSHOT.USAGE",
		"$JS.API.STREAM.RESTORE.USAGE", "$JS.API.STREAM.LEADER.STEPDOWN.JOBS",
		// consumers
		"$JS.API.CONSUMER.CREATE.JOBS", "$JS.API.CONSUMER.CREATE.USAGE.mine", "$JS.API.CONSUMER.DURABLE.CREATE.JOBS.mine", "$JS.API.CONSUMER.DELETE.JOBS.q_std",
		"$JS.API.CONSUMER.PAUSE.JOBS.q_std", "$JS.API.CONSUMER.LIST.JOBS", "$JS.API.CONSUMER.INFO.JOBS.q_std",
		"$JS.API.CONSUMER.MSG.NEXT.JOBS.q_other", "$JS.API.CONSUMER.MSG.NEXT.JOBS.w_you-123456", "$JS.API.CONSUMER.MSG.NEXT.USAGE.any",
		"$JS.ACK.JOBS.q_other.1.1.1.1.1", "$JS.ACK.JOBS.w_you-123456.1.1.1.1.1",
		// straight to the broker, which would answer anywhere, and past the desk
		"$JS.API.CONSUMER.MSG.NEXT.JOBS.q_std", "$JS.API.CONSUMER.MSG.NEXT.JOBS.w_" + id, "$JS.ACK.JOBS.q_std.1.1.1.1.1", "$JS.ACK.JOBS.w_" + id + ".1.1.1.1.1",
		via("$JS.API.CONSUMER.MSG.NEXT.JOBS.q_other"), via("$JS.API.CONSUMER.MSG.NEXT.JOBS.w_you-123456"), via("$JS.API.STREAM.DELETE.JOBS"), via("$JS.API.INFO"),
		via("$JS.ACK.JOBS.q_other.1.1.1.1.1"), via("$KV.KEYS.k_1"), via("$SYS.REQ.SERVER.PING"), via("_INBOX_member.you-123456.x"), via("_INBOX_join.you.x"), "_INBOX_member.you-123456.x", via("_INBOX_registry.x"), via("jobs.q.std.k_1"),
		viaSubject("you-123456", pullSubject("q_std")), changeSubject, "rate.k_1.1.here",
		// writing
		"$KV.KEYS.k_1", "$KV.ADMIN.tokens", "$KV.WCREDS.me", "$KV.MARKS.m", "usage.ev.k_1.m", "rate.k_1.1", "quota.k_1", "jobs.q.std.k_1", "jobs.w." + id, "jobs.w.you-123456",
		// as somebody else
		claimSubject(o.node, "other", id), claimSubject(o.node, "std", "you-123456"), ownerSubject(o.node, verbBody, "you-123456"),
		ownerSubject(o.node, verbAlive, "you-123456"), ownerSubject(o.node, verbHere, id), frameSubject(o.node, "you-123456", "job"),
		upSubject("you-123456", verbBeat), upSubject("you-123456", verbBye), joinSubject("you", []byte{1}), joinSubject("me", []byte{1}),
		// to others
		downSubject("you-123456", verbRun), downSubject("you-123456", verbCancel), downSubject(id, verbRun), downSubject(everyWorker, verbHello), "_INBOX_owner.x", "_INBOX.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.RELAY.CONNZ", "anything",
	}
	listen := []string{
		">", "*", "$SYS.>", "$JS.>", "$JS.EVENT.>", "$KV.>", "$KV.KEYS.>", "usage.>", "jobs.>", "r.>", "r.*." + id + ".*", "api.>", "up.>", "up." + id + ".*", "join.*",
		"wk.>", changeSubject, "via.>", via(">"), "wk.*.run", "wk.you-123456.*", "wk.all.>", "_INBOX.>", "_INBOX_owner.>", "_INBOX_member.>", "_INBOX_member.you-123456.>", "_INBOX_member.me-123457.>", "_INBOX_join.>", "_INBOX_me-123456.>",
	}
	if n := len(forbidden) + len(listen); n < 25 {
		t.Fatalf("only %d operations are tried", n)
	}
	t.Logf("%d forbidden operations, %d allowed ones", len(forbidden)+len(listen), len(allowed)+3)

	for _, subject := range forbidden {
		l := dialLimited(t, c, id)
		if !l.is(l.nc.PublishRequest(subject, memberInbox(id)+".x", []byte("{}"))) {
			t.Errorf("publishing to %s was let through", subject)
		}
		l.nc.Close()
	}
	for _, subject := range listen {
		for _, queue := range []string{"", "group"} {
			l := dialLimited(t, c, id)
			if _, err := l.nc.QueueSubscribeSync(subject, queue); !l.is(err) {
				t.Errorf("listening to %s, queue %q, was let through", subject, queue)
			}
			l.nc.Close()
		}
	}

	l := dialLimited(t, c, id)
	for _, subject := range allowed {
		if l.is(l.nc.Publish(subject, nil)) {
			t.Errorf("publishing to %s was refused", subject)
		}
	}
	for _, subject := range []string{downSubject(id, "*"), downSubject(everyWorker, verbHello), memberInbox(id) + ".>"} {
		if _, err := l.nc.SubscribeSync(subject); l.is(err) {
			t.Errorf("listening to %s was refused", subject)
		}
	}
}

func TestAnInvitedWorkerMayOnlyHandInItsKey(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	i := invite(t, r, "me", "std")
	nc, err := nats.Connect(tlsURLs(i.URLs), nats.UserInfo(joinPrefix+i.Name, i.Secret), nats.Secure(i.Anchor.Client()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l := &limited{t: t, nc: nc, refused: errors.New("not of interest")}
	for _, subject := range []string{joinSubject("you", []byte{1}), joinSubject("me", []byte{1}), claimSubject("n", "std", "me-123456"), upSubject("me-123456", verbBeat), "$JS.API.INFO", "$KV.WCREDS.me"} {
		if !l.is(nc.Publish(subject, nil)) {
			t.Errorf("publishing to %s was let through", subject)
		}
	}
	if _, err := nc.SubscribeSync(">"); !l.is(err) {
		t.Error("it listens to everything")
	}
}
