package session_test

import (
	"os/exec"
	"sync"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

const mb = 1 << 20

// scales are what the processes of a pool are told to weigh.
type scales struct {
	mu      sync.Mutex
	each    int64
	private int64
	weighed map[int]int // how often, by pid
}

func (s *scales) weigh(pid int) (total, private int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.weighed == nil {
		s.weighed = make(map[int]int)
	}
	s.weighed[pid]++
	return s.each, s.private
}

func (s *scales) set(each, private int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.each, s.private = each, private
}

func (s *scales) seen(pid int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.weighed[pid]
}

// weighing is a pool under a memory limit whose processes take 100 MB each at first.
func weighing(t *testing.T, limit int64, change ...func(*session.Config)) (*fakes, *scales) {
	t.Helper()
	s := &scales{each: 100 * mb}
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.MemoryLimit = 8, 8, limit
	cfg.Weigh(s.weigh)
	cfg.Hurry(time.Hour)
	for _, c := range change {
		c(&cfg)
	}
	return openFakes(t, cfg), s
}

func TestMemoryLimitEndsTheLongestIdle(t *testing.T) {
	f, s := weighing(t, 1000*mb)
	var talks []*dialog
	for _, user := range []string{"a", "b", "c", "d"} {
		d := f.dialog("k", user)
		d.mustSay("1", chat.SessionNew)
		talks = append(talks, d)
	}
	talks[0].mustSay("2", chat.SessionWarm) // b is the longest idle now, then c
	s.set(400*mb, 0)
	eventually(t, "two sessions to go", func() bool { return f.Stats().Idle == 2 && f.Stats().Stopping == 0 })
	if st := f.Stats(); st.Ended[session.EndMemory] != 2 || st.Memory > 1000*mb {
		t.Errorf("%+v, want two ended for memory", st)
	}
	s.set(100*mb, 0)
	for i, want := range []chat.Session{chat.SessionWarm, chat.SessionReplayed, chat.SessionReplayed, chat.SessionWarm} {
		talks[i].mustSay("3", want)
	}
}

func TestMemoryLimitTakesSparesAfterWhatIsIdle(t *testing.T) {
	f, s := weighing(t, 1000*mb, func(c *session.Config) { c.Spares = 2 })
	f.dialog("k", "").mustSay("1", chat.SessionNew)
	eventually(t, "two spares", func() bool { return f.Stats().Spares == 2 })
	s.set(450*mb, 0)
	eventually(t, "the session to go", func() bool { return f.Stats().Idle == 0 })
	if st := f.Stats(); st.Spares != 2 {
		t.Errorf("%+v, want both spares: they fit", st)
	}
	s.set(600*mb, 0)
	eventually(t, "a spare to go", func() bool { return f.Stats().Ended[session.EndMemory] >= 2 })
	s.set(5000*mb, 0)
	eventually(t, "one to be left", func() bool {
		st := f.Stats()
		return st.Spares == 1 && st.Starting+st.Stopping == 0 && st.Memory == 5000*mb
	})
	pid := children(t)[0]
	before := s.seen(pid)
	eventually(t, "it to be weighed again", func() bool { return s.seen(pid) > before+3 })
	if st := f.Stats(); st.Spares != 1 || st.Starting != 0 {
		t.Errorf("%+v, want the last process to stay, and no other", st)
	}
}

func TestMemoryLimitNeverEndsWhatRuns(t *testing.T) {
	f, s := weighing(t, 1000*mb)
	f.dialog("k", "idle").mustSay("1", chat.SessionNew)
	h := f.hold(3, "k")
	s.set(900*mb, 0)
	eventually(t, "the idle one to go", func() bool { return f.Stats().Idle == 0 && f.Stats().Stopping == 0 })
	if a := f.ask(t.Context(), f.dialog("k", "another").with("hello")); codeOf(a) != chat.CodeQueueFull {
		t.Errorf("%+v, want queue_full: memory has no room and all are busy", a.Outcome)
	}
	if st := f.Stats(); st.Busy != 3 || st.Waiting != 0 {
		t.Errorf("%+v, want three busy and nobody waiting", st)
	}
	for _, out := range h.finish() {
		if codeOf(answer{Outcome: out}) != chat.CodeCancelled {
			t.Errorf("held turn: %+v, want cancelled", out)
		}
	}
	eventually(t, "all but one to go", func() bool { st := f.Stats(); return st.Idle == 1 && st.Stopping == 0 })
}

func TestNoProcessStartsAboveTheMemoryLimit(t *testing.T) {
	f, _ := weighing(t, 350*mb)
	for i := range 8 {
		f.dialog("k", string(rune('a'+i))).mustSay("1", chat.SessionNew)
		if n := len(children(t)); n > 3 {
			t.Errorf("%d processes of 100 MB under a limit of 350 MB", n)
		}
	}
	if st := f.Stats(); st.Ended[session.EndMemory] != 5 {
		t.Errorf("%+v, want five sessions ended for memory", st)
	}
}

func TestALimitBelowOneProcessStillServes(t *testing.T) {
	f, _ := weighing(t, 1*mb, func(c *session.Config) { c.Spares = 1 })
	a, b := f.dialog("k", "a"), f.dialog("k", "b")
	a.mustSay("1", chat.SessionNew)
	a.mustSay("2", chat.SessionWarm)
	b.mustSay("1", chat.SessionNew)
	if n := len(children(t)); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

func TestAProcessThatHasGrownIsNotBegunAnew(t *testing.T) {
	f, s := weighing(t, 0, func(c *session.Config) { c.MaxSessions = 1 })
	first := f.dialog("k", "")
	pid := first.pid()
	s.set(400*mb, 300*mb)
	before := s.seen(pid)
	eventually(t, "it to be weighed", func() bool { return s.seen(pid) > before+1 })
	first.mustSay("its only conversation goes on", chat.SessionWarm)
	second := f.dialog("k", "")
	if again := second.pid(); again == pid {
		t.Error("another conversation was begun in the large process")
	}
	if st := f.Stats(); st.Ended[session.EndSessions] != 1 {
		t.Errorf("%+v, want one ended for its place", st)
	}
}

func TestAProcessThatHasGrownOverConversationsEnds(t *testing.T) {
	f, s := weighing(t, 0, func(c *session.Config) { c.MaxSessions, c.MaxSessionsPerKey = 1, 1 })
	pid := f.dialog("k", "").pid()
	second := f.dialog("k", "")
	if again := second.pid(); again != pid {
		t.Fatal("a small process was not begun anew")
	}
	s.set(400*mb, 300*mb)
	eventually(t, "it to end", func() bool { return f.Stats().Ended[session.EndSize] == 1 && len(children(t)) == 0 })
	s.set(100*mb, 50*mb)
	second.mustSay("and on", chat.SessionReplayed)
}

func TestMemoryOfDescendantsCounts(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "/bin/sh -c 'sleep 600; :'; :")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var family []int
	eventually(t, "a grandchild", func() bool {
		family = []int{pid}
		for i := 0; i < len(family); i++ {
			family = append(family, childrenOf(t, family[i])...)
		}
		return len(family) == 3
	})
	defer func() {
		for _, pid := range family[1:] {
			exec.Command("kill", "-9", itoa(pid)).Run()
		}
	}()
	whole, _ := session.MeasureTree(pid)
	below, _ := session.MeasureTree(family[1])
	least, _ := session.MeasureTree(family[2])
	if !(whole > below && below > least && least > 0) {
		t.Errorf("a tree takes %d bytes, its only branch %d, its leaf %d", whole, below, least)
	}
}

func TestMemoryOfTheRealCLIIsPlausible(t *testing.T) {
	api, err := anthropictest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	b := openReal(t, func(c *session.Config) { c.Spares = 1 })
	eventually(t, "a spare", func() bool { return b.Stats().Spares == 1 })
	total, private := session.MeasureTree(children(t)[0])
	t.Logf("a spare takes %d MB, %d MB of them its own", total/mb, private/mb)
	if total < 40*mb || total > 400*mb || private < 40*mb || private > total {
		t.Errorf("a spare takes %d bytes, %d of them its own", total, private)
	}
	eventually(t, "the pool to know", func() bool { return b.Stats().Memory > 0 && b.Stats().Memory != 100*mb })
}
