package session_test

import (
	"fmt"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

const crowd = 20 // sessions

// BenchmarkMemory tells what warm sessions of the real CLI take, in MB of memory that is
// divided among those who share it, and what a memory limit does about it. Sizes and
// counts are the point: ns/op is meaningless.
func BenchmarkMemory(b *testing.B) {
	b.Run("warm", benchmarkWarmMemory)
	b.Run("limit falls to 1 GB", benchmarkFallingLimit)
	b.Run("limit 1 GB", benchmarkLimit)
}

// openCrowd is a pool that may keep a session for each of the crowd.
func openCrowd(b *testing.B, limit int64) *bench {
	r := openReal(b, func(c *session.Config) {
		c.MaxSessions, c.MaxSessionsPerKey, c.MemoryLimit = crowd, crowd, limit
	})
	r.chatter()
	return r
}

// gather has each of the crowd ask three questions, one after the other, and calls each
// after every one of them.
func (b *bench) gather(each func()) (talks []*talk) {
	for i := range crowd {
		c := b.talk(fmt.Sprint("user ", i), longSystem)
		for j := range 3 {
			c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleUser, question(j)))
			c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleAssistant, b.mustAsk(c.req).text))
			each()
		}
		talks = append(talks, c)
	}
	return talks
}

// weight is what all processes take now, by the pool's own measure.
func (b *bench) weight() (sum int64, n int) {
	for _, pid := range children(b.t) {
		total, _ := session.MeasureTree(pid)
		sum += total
		n++
	}
	return sum, n
}

func benchmarkWarmMemory(b *testing.B) {
	p := openCrowd(b, 0)
	p.gather(func() {})
	sum, n := p.weight()
	patiently(b, "the pool to have measured all", func() bool { // it does so some seconds after a turn
		off := p.Stats().Memory - sum
		return max(off, -off) < sum/20
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n), "processes")
	b.ReportMetric(float64(sum)/mb/float64(n), "each-MB")
	b.ReportMetric(float64(sum)/mb, "sum-MB")
	b.ReportMetric(float64(p.Stats().Memory)/mb, "pool-says-MB")
}

// A limit that falls stands for sessions that grow: it finds the pool far above it, three
// of its sessions in a turn. Two times are told: from the limit's fall until the pool is
// below it, and the part of that after the pool has noticed.
func benchmarkFallingLimit(b *testing.B) {
	const busy = 3
	p := openCrowd(b, 0)
	talks := p.gather(func() {})
	gate := anthropictest.NewGate(1)
	p.api.Unscript()
	p.api.Script(func(anthropictest.Request) *anthropictest.Reply {
		r := anthropictest.Text(10, 0).HeldBy(gate)
		return &r
	})
	answers := make(chan answer, busy)
	for _, c := range talks[:busy] { // the longest idle, so the first to go if they were not busy
		c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleUser, "go on"))
		go func() { answers <- p.ask(b.Context(), c.req) }()
	}
	eventually(b, "the turns to run", func() bool { return p.Stats().Busy == busy })

	fell := time.Now()
	p.Limit(1000 * mb)
	var noticed time.Time
	patiently(b, "the pool to be below its limit", func() bool {
		st := p.Stats()
		if st.Ended[session.EndMemory] > 0 && noticed.IsZero() {
			noticed = time.Now()
		}
		return !noticed.IsZero() && st.Memory <= 1000*mb
	})
	below, st := time.Now(), p.Stats()
	sum, _ := p.weight()
	gate.Release()
	for range busy {
		if a := <-answers; a.Error != nil || a.Session != chat.SessionWarm {
			b.Errorf("a turn that ran: session %s, %v", a.Session, a.Error)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(st.Busy), "busy")
	b.ReportMetric(float64(st.Busy+st.Idle), "left")
	b.ReportMetric(float64(sum)/mb, "sum-MB")
	b.ReportMetric(ms(below.Sub(fell)), "until-below-ms")
	b.ReportMetric(ms(below.Sub(noticed)), "noticed-until-below-ms")
}

// A limit from the start: how many of the crowd's sessions are kept, and what they took at
// the most.
func benchmarkLimit(b *testing.B) {
	p := openCrowd(b, 1000*mb)
	var most int64
	p.gather(func() {
		sum, _ := p.weight()
		most = max(most, sum)
	})
	patiently(b, "the pool to calm down", func() bool {
		st := p.Stats()
		return st.Starting+st.Stopping == 0 && st.Memory <= 1000*mb
	})
	sum, _ := p.weight()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(p.Stats().Idle), "kept")
	b.ReportMetric(float64(sum)/mb, "sum-MB")
	b.ReportMetric(float64(most)/mb, "most-MB")
}

// patiently is eventually for what the pool does in its own rhythm, of half a minute.
func patiently(b *testing.B, what string, ok func() bool) {
	b.Helper()
	for late := time.Now().Add(2 * time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(late) {
			b.Fatal("waited in vain for ", what)
		}
	}
}
