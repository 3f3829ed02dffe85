package session

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"maxrelay/session/chat"
)

// meters is what a pool counts of its turns and starts. Labels hold kinds of sessions
// and codes of package chat, nothing of a caller's.
type meters struct {
	turns   *prometheus.CounterVec   // by session and outcome
	prepare *prometheus.HistogramVec // by session
	start   prometheus.Histogram
}

func newMeters() *meters {
	m := &meters{
		turns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "session_turns_total", Help: "Turns by how the process came to hold the history and by outcome.",
		}, []string{"session", "outcome"}),
		prepare: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "session_prepare_seconds", Help: "From the request for a process until the last message was written to it.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"session"}),
		start: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "session_start_seconds", Help: "From the start of a process until it answered.",
			Buckets: []float64{.1, .2, .3, .4, .5, .75, 1, 1.5, 2, 3, 5, 10, 30},
		}),
	}
	for _, kind := range []chat.Session{chat.SessionWarm, chat.SessionRewound, chat.SessionReplayed, chat.SessionNew} {
		m.turns.WithLabelValues(string(kind), outcomeOK)
		m.prepare.WithLabelValues(string(kind))
	}
	return m
}

const (
	outcomeOK = "ok"
	noSession = "none" // no process was had
)

// turn counts a turn that began then and asked its last message at asked, if ever.
func (m *meters) turn(out chat.Outcome, begun, asked time.Time) {
	kind, outcome := string(out.Session), outcomeOK
	if kind == "" {
		kind = noSession
	}
	if out.Error != nil {
		outcome = string(out.Error.Code.Told())
	}
	m.turns.WithLabelValues(kind, outcome).Inc()
	if !asked.IsZero() {
		m.prepare.WithLabelValues(kind).Observe(asked.Sub(begun).Seconds())
	}
}

// Collector tells Prometheus how a pool is.
type Collector struct{ *Pool }

var (
	processesDesc = desc("session_processes", "Living CLI processes by state.", "state")
	waitingDesc   = desc("session_waiting_turns", "Turns that wait for a process.")
	memoryDesc    = desc("session_memory_bytes", "Memory of all CLI processes, as last measured.")
	limitDesc     = desc("session_memory_limit_bytes", "What they may take together; 0 is no limit.")
	startsDesc    = desc("session_starts_total", "Starts of CLI processes by outcome.", "outcome")
	endsDesc      = desc("session_ends_total", "Ends of CLI processes by reason.", "reason")
	refusedDesc   = desc("session_cli_refused", "1 while the installed CLI is not used, because it failed its test.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{processesDesc, waitingDesc, memoryDesc, limitDesc, startsDesc, endsDesc, refusedDesc} {
		ch <- d
	}
	c.meters.turns.Describe(ch)
	c.meters.prepare.Describe(ch)
	c.meters.start.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	st := c.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(processesDesc, float64(st.Spares), "spare")
	gauge(processesDesc, float64(st.Idle), "idle")
	gauge(processesDesc, float64(st.Busy), "busy")
	gauge(processesDesc, float64(st.Starting), "starting")
	gauge(processesDesc, float64(st.Stopping), "stopping")
	gauge(waitingDesc, float64(st.Waiting))
	gauge(memoryDesc, float64(st.Memory))
	gauge(limitDesc, float64(c.cfg.MemoryLimit))
	gauge(refusedDesc, oneIf(st.Refused != ""))
	counter(startsDesc, st.Starts, outcomeOK)
	counter(startsDesc, st.FailedStarts, "failed")
	for why, n := range st.Ended {
		counter(endsDesc, n, Ending(why).String())
	}
	c.meters.turns.Collect(ch)
	c.meters.prepare.Collect(ch)
	c.meters.start.Collect(ch)
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
