package session_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"maxrelay/session"
	"maxrelay/session/chat"
)

func TestMetricsTellWhatThePoolDid(t *testing.T) {
	cfg := fakeConfig()
	cfg.MemoryLimit = 1 << 40
	f := openFakes(t, cfg)
	d := f.dialog("secret key", "secret user")
	d.mustSay("1", chat.SessionNew)
	d.mustSay("2", chat.SessionWarm)
	f.ask(t.Context(), d.with("[[status 529]]"))
	f.ask(t.Context(), d.with("[[crash]]"))
	eventually(t, "the process to end", func() bool { st := f.Stats(); return st.Stopping == 0 && st.Ended[session.EndDied] == 1 })
	want := `
# HELP session_cli_refused 1 while the installed CLI is not used, because it failed its test.
# TYPE session_cli_refused gauge
session_cli_refused 0
# HELP session_ends_total Ends of CLI processes by reason.
# TYPE session_ends_total counter
session_ends_total{reason="died"} 1
session_ends_total{reason="failed"} 0
session_ends_total{reason="key"} 0
session_ends_total{reason="memory"} 0
session_ends_total{reason="outdated"} 0
session_ends_total{reason="sessions"} 0
session_ends_total{reason="size"} 0
session_ends_total{reason="ttl"} 0
session_ends_total{reason="uses"} 0
# HELP session_memory_limit_bytes What they may take together; 0 is no limit.
# TYPE session_memory_limit_bytes gauge
session_memory_limit_bytes 1.099511627776e+12
# HELP session_processes Living CLI processes by state.
# TYPE session_processes gauge
session_processes{state="busy"} 0
session_processes{state="idle"} 0
session_processes{state="spare"} 0
session_processes{state="starting"} 0
session_processes{state="stopping"} 0
# HELP session_starts_total Starts of CLI processes by outcome.
# TYPE session_starts_total counter
session_starts_total{outcome="failed"} 0
session_starts_total{outcome="ok"} 1
# HELP session_turns_total Turns by how the process came to hold the history and by outcome.
# TYPE session_turns_total counter
session_turns_total{outcome="ok",session="new"} 1
session_turns_total{outcome="ok",session="replayed"} 0
session_turns_total{outcome="ok",session="rewound"} 0
session_turns_total{outcome="ok",session="warm"} 1
session_turns_total{outcome="overloaded",session="warm"} 1
session_turns_total{outcome="worker_failed",session="warm"} 1
`
	c := session.Collector{Pool: f.Pool}
	names := []string{"session_cli_refused", "session_ends_total", "session_memory_limit_bytes", "session_processes",
		"session_starts_total", "session_turns_total"}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestHistogramsCountStartsAndPreparations(t *testing.T) {
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.mustSay("1", chat.SessionNew)
	d.mustSay("2", chat.SessionWarm)
	d.mustSay("3", chat.SessionWarm)
	r := prometheus.NewRegistry()
	r.MustRegister(session.Collector{Pool: f.Pool})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, family := range families {
		for _, m := range family.Metric {
			if m.Histogram != nil {
				name := family.GetName()
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				counts[name] = m.Histogram.GetSampleCount()
			}
		}
	}
	for name, want := range map[string]uint64{"session_start_seconds": 1, "session_prepare_seconds new": 1, "session_prepare_seconds warm": 2, "session_prepare_seconds rewound": 0} {
		if counts[name] != want {
			t.Errorf("%s has %d observations, want %d", name, counts[name], want)
		}
	}
}
