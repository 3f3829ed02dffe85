package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/session/anthropictest/wire"
)

// A node is killed while it answers. Its clients are refused there and ask another one: the
// same question, and then the next. Each conversation goes on as it was, with the process
// that holds it or another that is told it, and whatever was answered is counted once.
func TestConversationsOfAKilledNodeGoOnAtAnother(t *testing.T) {
	t.Parallel()
	k := openKilledNode(t)
	k.all(func(i int, l *talk) { k.ask(l, "[[echo]] hello", 0, "new") })
	k.breakOff()
	k.all(func(i int, l *talk) { k.ask(l, slowEcho, 1+i%2, "warm", "rewound", "replayed") })
	k.all(func(i int, l *talk) { k.ask(l, "[[echo]] and on", 2-i%2, "warm") })
	k.mustHaveCounted()
}

const (
	killedLives = 6 // conversations, every other one streamed
	slowWords   = 40
)

// slowEcho is answered for a while.
var slowEcho = fmt.Sprintf("[[echo %d delay 40ms]]", slowWords)

// killedNode is a cluster of which a node is killed, and the conversations that it had.
type killedNode struct {
	*cluster
	nodes []*proc // the first one is killed
	lives []*talk

	mu       sync.Mutex
	answered []string       // ids of requests
	sessions map[string]int // of the questions that were put again
}

func openKilledNode(t *testing.T) *killedNode {
	k := &killedNode{cluster: newCluster(t), sessions: make(map[string]int)}
	k.nodes = k.startAll(servesHTTP, "api")
	k.pickVictim()
	var brokers []string
	for _, s := range k.cluster.nodes {
		brokers = append(brokers, "nats://"+s.nats)
	}
	worker := k.newSite("worker").start("w1", takesJobs, scriptedCLI, "worker", "--nats-url", strings.Join(brokers, ","),
		"--set", "worker.max_sessions=16", "--set", "worker.max_sessions_per_key=16")
	k.mustKnow(worker.id)
	for i := range killedLives {
		k.lives = append(k.lives, &talk{t: t, req: chatRequest{User: fmt.Sprint("user ", i), Stream: i%2 == 0}})
	}
	return k
}

// pickVictim puts a node first that does not lead the usage events: that they wait for
// seconds then is another test's.
func (k *killedNode) pickVictim() {
	k.t.Helper()
	stream, err := k.cluster.nodes[0].js().Stream(k.t.Context(), "USAGE")
	if err != nil {
		k.t.Fatal(err)
	}
	if stream.CachedInfo().Cluster.Leader == k.cluster.nodes[0].server() {
		slices.Reverse(k.nodes)
		slices.Reverse(k.cluster.nodes)
	}
}

// breakOff kills the first node when all conversations have a question under way there.
func (k *killedNode) breakOff() {
	var waiting, begun sync.WaitGroup
	for i, l := range k.lives {
		req := l.req
		req.Messages = append(slices.Clip(req.Messages), message{"user", slowEcho})
		first := func() {}
		if req.Stream {
			begun.Add(1)
			first = sync.OnceFunc(begun.Done)
		}
		waiting.Go(func() {
			if a, err := send(k.t.Context(), k.nodes[0].url, req, func(string) { first() }); err == nil || a.done {
				k.t.Errorf("conversation %d: the node answered: %+v", i, a)
			}
		})
	}
	begun.Wait()
	eventually(k.t, "all to be under way", func() bool {
		_, text := scrape(k.t, k.nodes[0].url)
		return strings.Contains(text, fmt.Sprintf("relay_jobs{state=\"running\"} %d\n", killedLives))
	})
	k.nodes[0].kill()
	waiting.Wait()
}

// all leads the conversations on together.
func (k *killedNode) all(on func(i int, l *talk)) {
	var clients sync.WaitGroup
	for i, l := range k.lives {
		clients.Go(func() { on(i, l) })
	}
	clients.Wait()
}

// ask puts a question to the first node and, where that refuses the connection, to
// another. The answer must be that of a process that holds this conversation, and be
// found in one of these ways.
func (k *killedNode) ask(l *talk, text string, other int, sessions ...string) {
	l.req.Messages = append(l.req.Messages, message{"user", text})
	a, err := send(k.t.Context(), k.nodes[0].url, l.req, nil)
	if errors.Is(err, syscall.ECONNREFUSED) {
		a, err = send(k.t.Context(), k.nodes[other].url, l.req, nil)
	}
	if err != nil || a.status != http.StatusOK || a.text != echoed(l.req.Messages) || a.done != l.req.Stream || !slices.Contains(sessions, a.session()) {
		k.t.Errorf("%s, %q: %+v, %v", l.req.User, text, a, err)
	}
	l.req.Messages = append(l.req.Messages, message{"assistant", a.text})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered = append(k.answered, a.header.Get("X-Request-Id"))
	if len(sessions) > 1 {
		k.sessions[a.session()]++
	}
}

// echoed is the answer of a process that holds these messages and nothing else.
func echoed(asked []message) string {
	var shown []wire.Message
	for _, m := range asked {
		shown = append(shown, wire.Message{Role: m.Role, Content: wire.Content{wire.TextBlock(m.Content)}})
	}
	text := wire.Echo(shown)
	if asked[len(asked)-1].Content == slowEcho {
		for i := range slowWords {
			text += fmt.Sprint(" word", i)
		}
	}
	return text
}

// mustHaveCounted wants one usage event of each answer and none besides: what the killed
// node had begun died with it.
func (k *killedNode) mustHaveCounted() {
	k.t.Helper()
	survivor := k.cluster.nodes[1]
	eventually(k.t, "all usage events", func() bool { return survivor.messages("USAGE") >= len(k.answered) })
	counted := survivor.counted()
	slices.Sort(counted)
	if slices.Sort(k.answered); !slices.Equal(counted, k.answered) {
		k.t.Errorf("usage events of %v, answered were %v", counted, k.answered)
	}
	k.t.Logf("%d conversations, %d answers, %d usage events; the questions that broke off were put again: %v", killedLives, len(k.answered), len(counted), k.sessions)
}

// counted are the requests that have a usage event. They are read one by one: a consumer
// could not be made while the cluster has lost its leader.
func (s *site) counted() (ids []string) {
	s.t.Helper()
	stream, err := s.js().Stream(s.t.Context(), "USAGE")
	if err != nil {
		s.t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(s.t.Context(), seq)
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, m.Header.Get(jetstream.MsgIDHeader))
	}
	return ids
}
