//go:build !linux

package session

import "testing"

func TestGroupsAreSummed(t *testing.T) {
	sums := sumGroups([]byte("  10  2000\n   10 500\n 11 7\n\nx 1\n12 y\n13 -1\n14\n"))
	if len(sums) != 2 || sums[10].total != 2500<<10 || sums[11].total != 7<<10 {
		t.Errorf("got %+v", sums)
	}
}

func FuzzGroups(f *testing.F) {
	f.Add([]byte(" 10 2000\n 10 500\n"))
	f.Fuzz(func(t *testing.T, list []byte) {
		for group, sum := range sumGroups(list) {
			if sum.total < 0 {
				t.Errorf("group %d has %d bytes", group, sum.total)
			}
		}
	})
}
