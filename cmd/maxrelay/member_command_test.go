package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestTheListSaysHowLongAWorkerIsAdmitted(t *testing.T) {
	var out strings.Builder
	c := &cobra.Command{}
	c.SetOut(&out)
	err := showMembers(c, []byte(`{"members":[
		{"name":"a","state":"invited","invited_until":"2026-11-29T01:10:00Z"},
		{"name":"b","state":"joined","joined_at":"2026-11-29T00:10:00Z"},
		{"name":"c","state":"joined","expires_at":"2027-11-29T00:10:00Z"},
		{"name":"d","state":"revoked","revoked_at":"2026-11-29T00:20:00Z","expires_at":"2027-11-29T00:10:00Z"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(out.String(), "MEMBER")
	lines := strings.Split(strings.TrimSpace(rows), "\n")[1:]
	for i, want := range []string{"invitation 2026-11-29T01:10:00Z", "never", "2027-11-29T00:10:00Z", "revoked 2026-11-29T00:20:00Z"} {
		if !strings.HasSuffix(strings.TrimSpace(lines[i]), "  "+want) {
			t.Errorf("%q does not end with %q", lines[i], want)
		}
	}
}

func TestWhatIsDoneToAWorkerNeedsItsName(t *testing.T) {
	for _, verb := range []string{"add", "revoke", "drain", "resume"} {
		c := command()
		c.SetArgs([]string{"worker", verb})
		c.SetOut(io.Discard)
		if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "NAME is missing: which worker, as in `maxrelay worker "+verb+" box2`") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

func TestASecondInvitationSaysThatTheFirstIsVoid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	for i, void := range []bool{false, true} {
		_, stderr, err := s.shell("api", nil, "worker", "add", "far", "--url", node.url)
		if err != nil || void != strings.Contains(stderr, "the former invitation is void") {
			t.Errorf("invitation %d: %q, %v", i+1, stderr, err)
		}
	}
}
