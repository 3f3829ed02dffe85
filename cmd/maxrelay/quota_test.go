package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trio is three API nodes, each with a data folder of its own, and a worker, on a NATS
// server that none of them embeds.
type trio struct {
	*site
	broker string // its URL
	nc     *nats.Conn
	js     jetstream.JetStream
	nodes  []*proc
	office *office
}

func openTrio(t *testing.T) *trio {
	t.Helper()
	broker, url := outsideBroker(t)
	t.Cleanup(broker.Close)
	nc, err := broker.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	r := &trio{site: newSite(t), broker: url, nc: nc, js: js}
	r.extra = managed
	for _, name := range []string{"a", "b", "c"} {
		r.nodes = append(r.nodes, r.startNode(name))
	}
	cli := buildCLI(t)
	r.start("worker", takesJobs, func(testing.TB) (string, map[string]string) { return cli, nil }, "worker", "--nats-url", url, "--set", "worker.max_sessions=24", "--set", "worker.max_sessions_per_key=24")
	r.office = openOffice(t, r.nodes[0].url)
	return r
}

func (r *trio) startNode(name string) *proc {
	return r.start(name, servesHTTP, scriptedCLI, "api", "--nats-url", r.broker, "--set", "data_dir="+filepath.Join(r.dir, "data-"+name))
}

const (
	rushed  = 200 // requests at once
	allowed = 20  // of them, by the key's quota
	bound   = 100 // tokens of an answer, and its bound
)

// rushKey makes a key whose tokens are enough for so many requests of rush, known to all nodes.
func (r *trio) rushKey(question string) (id, secret string) {
	r.t.Helper()
	id, secret = r.office.create(fmt.Sprintf(`{"name":"rush","rate_limit_tier":"unlimited","token_limit":%d}`, allowed*((len(question)+3)/4+bound+cliPrompt)))
	for _, node := range r.nodes {
		eventually(r.t, node.name+" to know the key", func() bool { status, _ := knock(r.t, node.url, secret); return status == http.StatusOK })
	}
	return id, secret
}

// rush sends all requests at once over the nodes; see is shown the node of each answer
// that begins.
func (r *trio) rush(secret, question string, see func(node *proc)) map[int]int {
	var mu sync.Mutex
	statuses := make(map[int]int) // 0: no answer, or not to its end
	var all sync.WaitGroup
	for i := range rushed {
		all.Go(func() {
			node := r.nodes[i%len(r.nodes)]
			var once sync.Once
			a, err := send(r.t.Context(), node.url, chatRequest{Messages: []message{{"user", question}}, Stream: true, MaxTokens: bound, key: secret},
				func(string) { once.Do(func() { see(node) }) })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil || a.status == http.StatusOK && !a.done:
				statuses[0]++
			default:
				statuses[a.status]++
			}
			if a.status == http.StatusTooManyRequests && a.errCode != "insufficient_quota" {
				r.t.Errorf("refused with %s", a.errCode)
			}
		})
	}
	all.Wait()
	return statuses
}

// booked sums what the usage events of a key say.
func (r *trio) booked(id string) (tokens int64, requests int) {
	r.t.Helper()
	for _, e := range usageEvents(r.t, r.nc) {
		if e.KeyID == id {
			tokens += int64(e.Usage.Total())
			requests++
		}
	}
	return tokens, requests
}

// counted is what the broker's counter says of a key.
func (r *trio) counted(id string) (tokens int64) {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "QUOTA")
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(r.t.Context(), "quota."+id+".life")
	if err != nil {
		r.t.Fatal(err)
	}
	var counter struct {
		Value int64 `json:"val,string"`
	}
	if err := json.Unmarshal(m.Data, &counter); err != nil {
		r.t.Fatal(err)
	}
	return counter.Value
}

// However many requests come at once, and to whichever nodes, no more are admitted than
// their key has tokens for, and the counter has what the events have. A node that is
// killed takes nothing along.
func TestAQuotaHoldsOverThreeNodes(t *testing.T) {
	t.Parallel()
	r := openTrio(t)
	const question = "[[tokens 100 delay 20ms]]" // two seconds each

	id, secret := r.rushKey(question)
	statuses := r.rush(secret, question, func(*proc) {})
	if n := statuses[http.StatusOK]; n > allowed || n < allowed/2 || n+statuses[http.StatusTooManyRequests] != rushed {
		t.Errorf("statuses %v: want at most %d admitted and the others refused", statuses, allowed)
	}
	tokens, requests := r.booked(id)
	if counted := r.counted(id); counted != tokens || requests != statuses[http.StatusOK] {
		t.Errorf("the counter has %d, and %d events have %d tokens", counted, requests, tokens)
	}
	t.Logf("%d requests at once: %v, %d tokens", rushed, statuses, tokens)

	id, secret = r.rushKey(question)
	var victim *proc // the first that answers anything
	var once sync.Once
	statuses = r.rush(secret, question, func(node *proc) {
		once.Do(func() {
			victim = node
			node.kill()
		})
	})
	if n := statuses[http.StatusOK] + statuses[0]; statuses[0] == 0 || statuses[http.StatusOK] > allowed {
		t.Errorf("statuses %v: want some cut off and at most %d of %d admitted", statuses, allowed, n)
	}
	left, _ := r.booked(id)
	t.Logf("a node killed meanwhile: %v; the counter has %d, the events %d", statuses, r.counted(id), left)
	r.nodes[slices.Index(r.nodes, victim)] = r.startNode(victim.name) // and settles what it left
	tokens, _ = r.booked(id)
	if counted := r.counted(id); counted != tokens {
		t.Errorf("the counter has %d, and the events have %d tokens", counted, tokens)
	}
	// The model counts a little more for a prompt than its bytes tell, so one cut-off answer frees little.
	if a, err := send(t.Context(), r.nodes[0].url, chatRequest{Messages: []message{{"user", "[[tokens 5]]"}}, MaxTokens: 10, key: secret}, nil); err != nil || a.status != http.StatusOK {
		t.Errorf("with what was freed: %d %s %v", a.status, a.errCode, err)
	}
	tokens, _ = r.booked(id)
	if counted := r.counted(id); counted != tokens {
		t.Errorf("afterwards the counter has %d, and the events have %d tokens", counted, tokens)
	}
}
