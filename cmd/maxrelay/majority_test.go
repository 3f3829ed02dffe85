package main

import (
	"net/http"
	"strings"
	"testing"
)

// Two nodes of three are killed, and one of them does not come back for a while. The other
// one and the third, which ran on, serve without it.
func TestTwoOfThreeNodesServe(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.startAll(servesHTTP, "api")
	var brokers []string
	for _, s := range c.nodes {
		brokers = append(brokers, "nats://"+s.nats)
	}
	w := c.newSite("w").start("w", takesJobs, scriptedCLI, "worker", "--nats-url", strings.Join(brokers, ","))
	c.mustKnow(w.id)
	nodes[1].kill()
	nodes[2].kill()

	nodes[1] = c.nodes[1].start("again", servesHTTP, scriptedCLI, "api")
	for _, node := range nodes[:2] {
		mustServe(t, node)
	}
	nodes[2] = c.nodes[2].start("again", servesHTTP, scriptedCLI, "api")
	for _, node := range nodes {
		mustServe(t, node)
	}
}

// mustServe asks a node until it answers.
func mustServe(t *testing.T, node *proc) {
	t.Helper()
	var a answer
	var err error
	served := comesTrue(guard, func() bool {
		a, err = send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}}, nil)
		return err == nil && a.status == http.StatusOK && a.text != ""
	})
	if !served {
		t.Fatalf("%s answers %+v, %v:\n%s", node.name, a, err, node.text())
	}
}
