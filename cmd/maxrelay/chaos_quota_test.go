package main

import (
	"fmt"
	"net/http"
	"time"

	"maxrelay/stats"
)

// mustHaveSettled holds what each key has used of its quota, as all nodes tell it,
// against the sum of its events. What a killed node left open is settled by the others
// or by its next start.
func (s *storm) mustHaveSettled(events map[string]stats.Event) {
	s.t.Helper()
	keys, sums, today := make(map[string]string), make(map[string]int), time.Now().UTC().YearDay()
	for _, e := range s.endings {
		if event, ok := events[e.id()]; ok {
			keys[e.key] = event.KeyID
		}
	}
	for _, e := range events {
		if e.Time.YearDay() == today {
			sums[e.KeyID] += e.Usage.Total()
		}
	}
	for key, id := range keys {
		for _, st := range s.nodes {
			used := -1
			settled := comesTrue(guard, func() bool { used = s.used(st, key); return used == sums[id] })
			if !settled {
				s.t.Errorf("%s has used %d tokens as %s tells, and %d by its events", id, used, st.name, sums[id])
			}
		}
	}
	s.t.Logf("tokens by events and by quotas: %v", sums)
}

// used asks a node for a key's quota.
func (s *storm) used(st *station, key string) int {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+st.links[0].Addr()+"/api/usage/quota", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, answer := do(s.t, req)
	used, ok := answer["token_used"].(float64)
	if resp.StatusCode != http.StatusOK || !ok {
		s.t.Fatal(fmt.Errorf("quota: %d, %v", resp.StatusCode, answer))
	}
	return int(used)
}

func comesTrue(d time.Duration, ok func() bool) bool {
	for late := time.Now().Add(d); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(late) {
			return false
		}
	}
	return true
}
