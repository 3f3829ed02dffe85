package main

import (
	"flag"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

var (
	rollingStreams = flag.Int("streams", 8, "that run while a fleet is restarted")
	rollingWorkers = flag.Int("workers", 2, "of that fleet")
)

// Three API nodes and their workers are restarted one after the other, as an upgrade does
// it, while clients ask all the time: none of their requests fails.
func TestEverythingIsRestartedAndNoRequestFails(t *testing.T) {
	c := newCluster(t)
	cli := buildCLI(t)
	small := func(testing.TB) (string, map[string]string) { return cli, nil }
	var nodes []*proc
	var urls, brokers []string
	for i, s := range c.nodes {
		s.extra = "queue: {max_waiting_per_key: 1000}"
		nodes = append(nodes, s.launch(fmt.Sprint("api", i), small, "api", "--log-level", "info"))
		brokers = append(brokers, "nats://"+s.nats)
	}
	for i, s := range c.nodes {
		s.ready(nodes[i], servesHTTP)
		urls = append(urls, nodes[i].url)
	}
	machine := &site{t: t, dir: c.nodes[0].dir, model: c.nodes[0].model, nats: c.nodes[0].nats}
	t.Cleanup(machine.killAll)
	startWorker := func(i int) *proc {
		return machine.start(fmt.Sprint("w", i), takesJobs, small, "worker", "--log-level", "info",
			"--nats-url", strings.Join(brokers, ","), "--set", "worker.max_sessions=16")
	}
	var workers []*proc
	for i := range *rollingWorkers {
		workers = append(workers, startWorker(i))
	}

	asking := startTraffic(t, *rollingStreams, asked{"[[tokens 20 delay 15ms]]", manyTokens}, urls...)
	last := fmt.Sprint("w", len(workers)-1)
	asking.await(asking.of("w0", 1), asking.of(last, 1))
	for i := range workers {
		workers[i].stop()
		workers[i] = startWorker(i)
		asking.await(asking.of(fmt.Sprint("w", i), 1))
	}
	for i, s := range c.nodes {
		at, err := url.Parse(urls[i])
		if err != nil {
			t.Fatal(err)
		}
		nodes[i].stop()
		nodes[i] = s.start(fmt.Sprint("api", i), servesHTTP, small, "api", "--log-level", "info", "--port", at.Port())
		asking.await(asking.of("w0", 1), asking.of(last, 1))
	}
	asking.stop()
	t.Logf("%d streams at a time, %d answers, 0 failed, %d connections refused and tried at the next node; by worker %v", *rollingStreams, asking.answers, asking.refused, asking.by)
}
