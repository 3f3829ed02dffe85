package main

import (
	"net/http"

	"maxrelay/session/chat"
	"maxrelay/stats"
)

// mustHaveCounted compares the usage events with what the API nodes saw and what the
// callers were told. Each request has one event. The ones whose node was killed under
// them have one at most.
func (s *storm) mustHaveCounted() {
	s.t.Helper()
	seen, orphans := s.seenByNodes(), 0
	events := s.events(seen)
	for _, e := range s.endings {
		e.mustAgree(s, events, seen)
		if s.diedUnder(e) {
			orphans++
		}
	}
	for _, line := range missing(events, seen) {
		s.t.Errorf("request %+v has no event", line)
	}
	for id, e := range events {
		if _, ok := seen[id]; !ok {
			if orphans--; orphans < 0 {
				s.t.Errorf("event %+v is of no request", e)
			}
		}
	}
	s.mustHaveSettled(events)
}

// events waits for those that a node sends again because the broker did not take them.
func (s *storm) events(seen map[string]access) map[string]stats.Event {
	broker := s.cluster.nodes[0].dial()
	events := usageEvents(s.t, broker)
	comesTrue(guard, func() bool {
		if len(missing(events, seen)) == 0 {
			return true
		}
		events = usageEvents(s.t, broker)
		return false
	})
	return events
}

// missing are the requests that were admitted and have no event.
func missing(events map[string]stats.Event, seen map[string]access) (lines []access) {
	for id, line := range seen {
		if _, ok := events[id]; !ok && !line.unadmitted() {
			lines = append(lines, line)
		}
	}
	return lines
}

// unadmitted reports whether the request may have been refused before it was admitted,
// which leaves no event: its body broke off, or no tokens could be reserved for it while
// the broker had no leader.
func (a access) unadmitted() bool {
	return a.Error == string(chat.CodeInvalid) || a.Error == string(chat.CodeNoWorker)
}

// seenByNodes are the requests that any API node has ended, by id.
func (s *storm) seenByNodes() map[string]access {
	all := make(map[string]access)
	for _, p := range s.procs() {
		for id, line := range p.arrived() {
			if _, twice := all[id]; twice {
				s.t.Errorf("request %s ended twice", id)
			}
			all[id] = line
		}
	}
	return all
}

// mustAgree holds what the caller was told against the event and the node's log.
func (e *ending) mustAgree(s *storm, events map[string]stats.Event, seen map[string]access) {
	if e.id() == "" {
		return
	}
	if _, ok := seen[e.id()]; !ok && !s.diedUnder(e) {
		s.t.Errorf("%v: no node has seen it end", e)
	}
	event, ok := events[e.id()]
	if ok && !e.agrees(event) {
		s.t.Errorf("%v: recorded as %+v", e, event)
	}
}

// agrees reports whether an event can be of what its caller saw. Who left or was cut
// off does not know how it ended.
func (e *ending) agrees(event stats.Event) bool {
	fine := event.ErrorCode == ""
	switch e.how {
	case whole:
		return event.Status == http.StatusOK && (fine || event.ErrorCode == string(chat.CodeCancelled))
	case refusedWith, told:
		return event.Status == e.heard.status && !fine
	}
	return true
}

// diedUnder reports whether the request's node was killed while it ran.
func (s *storm) diedUnder(e *ending) bool {
	for _, x := range s.faults {
		if x.station == e.node && x.kind.kills && x.from.Before(e.over) && x.to.After(e.asked) {
			return true
		}
	}
	return false
}
