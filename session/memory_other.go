//go:build !linux

package session

import (
	"bytes"
	"os/exec"
	"strconv"
)

// measureTrees asks ps, once for all, for the resident sizes and adds them up by
// process group, of which each process here leads one. Pages that processes share are
// counted for each.
func measureTrees(pids []int) map[int]footprint {
	cmd := exec.Command("/bin/ps", "-A", "-o", "pgid=", "-o", "rss=") // one -o each: a header runs to the end of its argument
	cmd.Env = []string{"LC_ALL=C"}
	list, err := cmd.Output()
	if err != nil {
		return nil
	}
	sums := sumGroups(list)
	seen := make(map[int]footprint, len(pids))
	for _, pid := range pids {
		if f, ok := sums[pid]; ok {
			seen[pid] = f
		}
	}
	return seen
}

func sumGroups(list []byte) map[int]footprint {
	sums := make(map[int]footprint)
	for line := range bytes.Lines(list) {
		fields := bytes.Fields(line)
		if len(fields) != 2 {
			continue
		}
		group, err := strconv.Atoi(string(fields[0]))
		if err != nil {
			continue
		}
		kB, err := strconv.ParseInt(string(fields[1]), 10, 40)
		if err != nil || kB < 0 {
			continue
		}
		f := sums[group]
		f.total += kB << 10
		sums[group] = f
	}
	return sums
}
