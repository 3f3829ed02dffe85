package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestAWorkerIsDrainedFromTheShell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "admin: {password: " + adminPassword + "}\n"
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	first := s.start("one", takesJobs, scriptedCLI, "worker")
	worker := func(args ...string) string {
		t.Helper()
		return s.mustShell("api", append([]string{"worker"}, append(args, "--url", node.url)...)...)
	}

	const long = "[[tokens 60 delay 30ms]]"
	running, answered := make(chan struct{}, 60), make(chan answer, 1)
	go func() {
		a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", long}}, Stream: true}, func(string) { running <- struct{}{} })
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	<-running
	s.start("two", takesJobs, scriptedCLI, "worker")
	if list := worker("list"); !strings.Contains(list, first.id+"  ok ") || !strings.Contains(list, "api_key") || !strings.Contains(list, "two-") {
		t.Errorf("the list is\n%s", list)
	}

	if said := worker("drain", "one"); !strings.Contains(said, "runs nothing any more") {
		t.Errorf("drain said %q", said)
	}
	if seen := 1 + len(running); seen < 55 { // the client may be a little behind
		t.Errorf("drain returned when %d of 60 pieces were there", seen)
	}
	if a := <-answered; a.status != http.StatusOK || !a.done || a.worker() != "one" || strings.Count(a.text, "tok") != 60 {
		t.Errorf("the answer that ran: %+v", a)
	}
	if list := worker("list"); !strings.Contains(list, first.id+"  draining ") {
		t.Errorf("afterwards the list is\n%s", list)
	}
	ask := func() string {
		a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}}, nil)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
		return a.worker()
	}
	for range 6 {
		if by := ask(); by != "two" {
			t.Errorf("answered by %s, which drains", by)
		}
	}
	if said := worker("drain", "--no-wait", "two"); !strings.Contains(said, "takes no more requests") {
		t.Errorf("drain of the other said %q", said)
	}
	worker("resume", first.id)
	if by := ask(); by != "one" {
		t.Errorf("after it resumed, %s answers", by)
	}
	for _, args := range [][]string{{"drain", "nobody"}, {"resume", "nobody"}, {"drain"}} {
		if stdout, stderr, err := s.shell("api", nil, append([]string{"worker"}, append(args, "--url", node.url)...)...); err == nil || stdout != "" || stderr == "" {
			t.Errorf("%v: %q, %q, %v", args, stdout, stderr, err)
		}
	}
}
