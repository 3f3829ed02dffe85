package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maxrelay/queue"
)

const noNode = "no connection to the node, trying again"

// node is the installation's API node, the one that was started last.
func (s *site) node() *proc {
	s.t.Helper()
	for _, p := range slices.Backward(s.procs) {
		if p.url != "" {
			return p
		}
	}
	s.t.Fatal("no API node was started")
	return nil
}

// mustInvite returns the invitation of a worker.
func (s *site) mustInvite(name string, flags ...string) string {
	s.t.Helper()
	return s.mustShell(s.node().name, append([]string{"worker", "add", name, "--url", s.node().url}, flags...)...)
}

// join uses an invitation on a machine that has this data folder.
func (s *site) join(invitation, dir string) (stdout, stderr string, err error) {
	s.t.Helper()
	return s.feed(invitation, s.node().name, nil, "worker", "join", "-", "--set", "data_dir="+dir)
}

func (s *site) mustJoin(invitation, dir string) {
	s.t.Helper()
	if stdout, stderr, err := s.join(invitation, dir); err != nil || !strings.Contains(stdout, "joined as ") {
		s.t.Fatalf("join: %v\n%s%s", err, stdout, stderr)
	}
}

func (s *site) workerList() string {
	s.t.Helper()
	return s.mustShell(s.node().name, "worker", "list", "--url", s.node().url)
}

// memberState is what the list says of a worker that may join, or has.
func (s *site) memberState(name string) string {
	s.t.Helper()
	_, members, _ := strings.Cut(s.workerList(), "MEMBER")
	return cells(s.t, members, name)[1]
}

// mustBeAnswered asks, and wants this worker's answer.
func (s *site) mustBeAnswered(url, worker string) {
	s.t.Helper()
	a, err := send(s.t.Context(), url, chatRequest{Messages: []message{{"user", "hello"}}}, nil)
	if err != nil || a.status != http.StatusOK || a.worker() != worker {
		s.t.Errorf("%d %q by %q, %v", a.status, a.errCode, a.worker(), err)
	}
}

// mustBeToldOfItsEnd waits until a worker logs that it was revoked.
func (p *proc) mustBeToldOfItsEnd() {
	p.t.Helper()
	eventually(p.t, p.name+" to hear that it was revoked", func() bool { return strings.Contains(p.text(), "this worker is not admitted: it was revoked") })
}

func readCredentials(t testing.TB, dir string) queue.Credentials {
	t.Helper()
	c, err := queue.LoadCredentials(filepath.Join(dir, "worker.credentials"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A worker on a machine of its own joins by an invitation, serves through restarts of both
// ends, and is out at once when it is revoked.
func TestAWorkerJoinsAndIsRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "admin: {password: " + adminPassword + "}\n"
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	invitation := s.mustInvite("far")
	if state := s.memberState("far"); state != "invited" {
		t.Errorf("before it joined it is %s", state)
	}
	machine := t.TempDir()
	s.mustJoin(invitation, machine)
	if info, err := os.Stat(filepath.Join(machine, "worker.credentials")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its credentials: %v, %v", info.Mode(), err)
	}
	if _, stderr, err := s.join(invitation, t.TempDir()); err == nil || !strings.Contains(stderr, "the invitation was used") {
		t.Errorf("the invitation used again: %q, %v", stderr, err)
	}
	start := func() *proc {
		return s.start("far", takesJobs, scriptedCLI, "worker", "--set", "data_dir="+machine, "--set", "nats.listen=", "--set", "worker.pools=other")
	}
	worker := start()
	s.mustBeAnswered(node.url, "far")
	if list := s.workerList(); !strings.Contains(list, worker.id+"  ok ") || s.memberState("far") != "joined" {
		t.Errorf("the list is\n%s", list)
	}

	node.stop()
	node = s.start("api", servesHTTP, scriptedCLI, "api")
	s.mustKnow(worker.id)
	s.mustBeAnswered(node.url, "far")
	if _, stderr, err := s.shell("api", nil, "worker", "--set", "data_dir="+machine, "--set", "nats.listen="); err == nil || !strings.Contains(stderr, machine+" is in use by another maxrelay") {
		t.Errorf("a second one of the same credentials: %q, %v", stderr, err)
	}
	worker.stop()
	worker = start()
	s.mustBeAnswered(node.url, "far")

	long := openStream(t, node.url, "[[tokens 400 delay 50ms]]")
	<-long.begun
	s.mustShell("api", "worker", "revoke", "far", "--url", node.url)
	worker.mustBeToldOfItsEnd()
	<-long.ended
	if a := long.answer; a.status != http.StatusOK || a.errCode == "" || a.done {
		t.Errorf("what it ran ended with %+v", a)
	}
	if state := s.memberState("far"); state != "revoked" {
		t.Errorf("afterwards it is %s", state)
	}
	if _, stderr, err := s.shell("api", nil, "worker", "revoke", "far", "--url", node.url); err == nil || !strings.Contains(stderr, "revoked already") {
		t.Errorf("revoked again: %q, %v", stderr, err)
	}
	if list := s.workerList(); strings.Contains(list, worker.id) {
		t.Errorf("it is still there:\n%s", list)
	}
	if _, stderr, err := s.shell("api", nil, "worker", "revoke", "nobody", "--url", node.url); err == nil || !strings.Contains(stderr, "no such worker") {
		t.Errorf("revoking nobody: %q, %v", stderr, err)
	}
	i, err := queue.ParseInvitation(invitation)
	if err != nil {
		t.Fatal(err)
	}
	audit := asJSON(t, openOffice(t, node.url).must(http.MethodGet, "/audit", ""))
	for _, secret := range []string{i.Secret, strings.TrimSpace(invitation), readCredentials(t, machine).Seed} {
		for _, text := range []string{audit, node.text(), worker.text(), s.workerList()} {
			if strings.Contains(text, secret) {
				t.Errorf("a secret is in\n%s", text)
			}
		}
	}
	for _, action := range []string{`"invite"`, `"revoke"`} {
		if !strings.Contains(audit, action) {
			t.Errorf("the audit record has no %s: %s", action, audit)
		}
	}
}

// Whoever stands in a node's place has another certificate.
func TestAWorkerTakesNoOtherNodeForItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start("api", servesHTTP, scriptedCLI, "api")
	invitation, err := queue.ParseInvitation(s.mustInvite("far"))
	if err != nil {
		t.Fatal(err)
	}
	pin := invitation.Anchor.Pin
	machine := t.TempDir()
	invitation.Anchor.Pin = strings.Repeat("0", len(pin))
	if _, stderr, err := s.join(invitation.String(), machine); err == nil || !strings.Contains(stderr, "not the node that was promised") {
		t.Errorf("joining it: %q, %v", stderr, err)
	}
	invitation.Anchor.Pin = pin
	s.mustJoin(invitation.String(), machine)
	c := readCredentials(t, machine)
	c.Anchor.Pin = strings.Repeat("0", len(pin))
	if err := c.Save(filepath.Join(machine, "worker.credentials")); err != nil {
		t.Fatal(err)
	}
	worker := s.launch("far", scriptedCLI, "worker", "--set", "data_dir="+machine)
	if line := worker.await(noNode); !strings.Contains(line["error"].(string), "not the node that was promised") {
		t.Errorf("the worker was told %v", line)
	}
}

// Invited at one node, a worker joins through another, knows them all, and serves whichever is left.
func TestAWorkerJoinsAClusterThroughAnyNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.startAll(servesHTTP, "api")
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	invitation, err := queue.ParseInvitation(first.mustInvite("far"))
	if err != nil {
		t.Fatal(err)
	}
	if len(invitation.URLs) != 3 {
		t.Errorf("the invitation names %v", invitation.URLs)
	}
	invitation.URLs = []string{second.nats}
	machine := t.TempDir()
	second.mustJoin(invitation.String(), machine)
	joined := readCredentials(t, machine)
	if len(joined.URLs) != 3 {
		t.Errorf("it knows %v", joined.URLs)
	}
	worker := third.start("far", takesJobs, scriptedCLI, "worker", "--set", "data_dir="+machine)
	c.mustKnow(worker.id)
	for _, node := range nodes {
		first.mustBeAnswered(node.url, "far")
	}
	nodes[0].stop()
	for _, node := range nodes[1:] {
		first.mustBeAnswered(node.url, "far")
	}
	third.mustShell("api2", "worker", "revoke", "far", "--url", nodes[2].url)
	worker.mustBeToldOfItsEnd()
	eventually(t, "the other node to know", func() bool { return second.memberState("far") == "revoked" })
}

// On the node's own machine a worker comes in by the token, whatever address the node listens at.
func TestAWorkerBesideAnOpenListenerNeedsNoInvitation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.nats = strings.Replace(s.nats, "127.0.0.1", "0.0.0.0", 1)
	s.extra = "auth: {enabled: true, api_keys: [ours], pools: {other: {api_keys: [theirs]}}}"
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	s.start("near", takesJobs, scriptedCLI, "worker")
	machine := t.TempDir()
	s.mustJoin(s.mustInvite("far", "--pool", "other"), machine)
	far := s.start("far", takesJobs, scriptedCLI, "worker", "--set", "data_dir="+machine, "--set", "nats.listen=")
	if line, _ := far.find(takesJobs); !strings.Contains(asJSON(t, line["pools"]), `["other"]`) {
		t.Errorf("it serves %v", line["pools"])
	}
	for key, worker := range map[string]string{"ours": "near", "theirs": "far"} {
		a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}, key: key}, nil)
		if err != nil || a.status != http.StatusOK || a.worker() != worker {
			t.Errorf("%s: %d %q by %q, %v", key, a.status, a.errCode, a.worker(), err)
		}
	}
}

func TestNobodyJoinsABrokerOfSomebodyElse(t *testing.T) {
	t.Parallel()
	b, url := outsideBroker(t)
	t.Cleanup(b.Close)
	s := newSite(t)
	node := s.start("api", servesHTTP, scriptedCLI, "api", "--nats-url", url)
	stdout, stderr, err := s.shell("api", nil, "worker", "add", "far", "--url", node.url)
	if err == nil || stdout != "" || !strings.Contains(stderr, "workers join the built-in broker only") {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
	s.workerList()
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatAMachineThatJoinsIsRefusedIsSaid(t *testing.T) {
	for name, tc := range map[string]struct {
		invitation string
		args       []string
		want       string
	}{
		"no invitation":             {"hunter2", nil, "an invitation begins with maxrelay-join-"},
		"half an invitation":        {"maxrelay-join-hunter2", nil, "the invitation is not whole"},
		"nothing":                   {"", nil, "an invitation begins with maxrelay-join-"},
		"a broker of somebody else": {"maxrelay-join-hunter2", []string{"--nats-url", "nats://127.0.0.1:1"}, "nats.url says to use another NATS server"},
		"nobody there":              {queue.Invitation{URLs: []string{"127.0.0.1:1"}, Name: "w", Secret: "hunter2"}.String(), nil, "reaching 127.0.0.1:1"},
	} {
		s := &site{t: t, dir: t.TempDir()}
		write(t, filepath.Join(s.dir, "none.yaml"), "")
		stdout, stderr, err := s.feed(tc.invitation, "none", nil, append([]string{"worker", "join", "--set", "data_dir=" + s.dir}, tc.args...)...)
		if err == nil || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: %q, %q, %v", name, stdout, stderr, err)
		}
	}
}
