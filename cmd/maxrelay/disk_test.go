package main

import (
	"net/http"
	"syscall"
	"testing"
)

// The disk of one node of three is full for a while. Callers do not notice, operators
// do, and after a restart it is a node like the others.
func TestANodeWhoseDiskIsFull(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	d := newDisk(t)
	full := c.nodes[2]
	d.keep(full)
	nodes := c.startAll(servesHTTP, "api")
	w := c.newSite("w")
	w.nats = c.nodes[0].nats
	c.mustKnow(w.start("w", takesJobs, scriptedCLI, "worker").id)
	asking := startTraffic(t, 3, asked{text: "hello", answer: "ok"}, nodes[0].url, nodes[1].url, nodes[2].url)
	asking.await(asking.some(30))

	if err := d.fill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() bool { return warningOf(t, nodes[2]) != "" })
	asking.await(asking.some(30))
	if err := d.empty(); err != nil {
		t.Fatal(err)
	}
	_ = nodes[2].cmd.Process.Signal(syscall.SIGTERM) // it has not ended before
	<-nodes[2].done
	asking.await(asking.some(10))

	again := full.start("again", servesHTTP, scriptedCLI, "api")
	if w := warningOf(t, again); w != "" {
		t.Error("after the restart: ", w)
	}
	asking.await(asking.some(10))
	asking.stop()
}

// warningOf is what /health warns of.
func warningOf(t *testing.T, node *proc) string {
	t.Helper()
	var h struct{ Warning string }
	if status := getJSON(t, node.url+"/health", &h); status != http.StatusOK {
		t.Error("/health answers ", status)
	}
	return h.Warning
}
