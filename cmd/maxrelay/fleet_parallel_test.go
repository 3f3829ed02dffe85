package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A user's conversations, and the branches of one, wait for a free process and never
// for each other.
func TestConversationsOfOneUserDoNotWaitForEachOther(t *testing.T) {
	const slots = 4
	s := newSite(t)
	p := s.start("serve", servesHTTP, scriptedCLI, "serve", "--set", fmt.Sprint("worker.max_sessions=", slots))
	c := &talk{t: t, url: p.url, req: chatRequest{User: "alice"}}
	c.say("[[echo]] one")

	ctx, leave := context.WithCancel(t.Context())
	var held sync.WaitGroup
	answering := make(chan struct{}, slots)
	for i := range slots - 1 {
		req := chatRequest{User: "alice", Stream: true, Messages: []message{{"user", fmt.Sprint("[[tokens 2]] [[hang after 1]] ", i)}}}
		if i == 0 { // a branch of the conversation that goes on below
			req.Messages = slices.Concat(c.req.Messages, req.Messages)
		}
		held.Go(func() {
			a, err := send(ctx, p.url, req, func(string) { answering <- struct{}{} })
			if err == nil || a.done {
				t.Errorf("turn %d ended before its client left: %+v", i, a)
			}
		})
	}
	for range slots - 1 {
		<-answering
	}
	c.say("[[echo]] two")
	for i := range 3 {
		other := &talk{t: t, url: p.url, req: chatRequest{User: "alice"}}
		other.say(fmt.Sprint("[[echo]] other ", i))
		other.say("[[echo]] and on")
	}
	c.say("[[echo]] three")
	leave()
	held.Wait()
}
