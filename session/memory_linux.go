package session

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// measureTrees tells the memory of each process and its descendants; of those that are
// gone it tells nothing.
func measureTrees(pids []int) map[int]footprint {
	seen := make(map[int]footprint, len(pids))
	for _, pid := range pids {
		if f, err := measureTree(pid, 0); err == nil {
			seen[pid] = f
		}
	}
	return seen
}

// deepest bounds the walk below a process. The CLI has no children at all as it is
// started here; what it may have one day is its own.
const deepest = 8

func measureTree(pid, depth int) (footprint, error) {
	f, err := measureOne(pid)
	if err != nil || depth == deepest {
		return f, err
	}
	for _, child := range childrenOf(pid) {
		if c, err := measureTree(child, depth+1); err == nil {
			f.total += c.total
			f.private += c.private
		}
	}
	return f, nil
}

// measureOne falls back to the resident size where the kernel shows no rollup.
func measureOne(pid int) (footprint, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err == nil {
		return parseRollup(rollup)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return footprint{}, err
	}
	return parseStatm(statm)
}

// parseRollup reads proc_pid_smaps(5). Only dirty pages count as private: the clean
// ones are the CLI's own file, of which a lone process maps 70 MB that a second shares.
func parseRollup(rollup []byte) (f footprint, err error) {
	for line := range bytes.Lines(rollup) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[2]) != "kB" {
			continue
		}
		kB, err := strconv.ParseInt(string(fields[1]), 10, 40)
		if err != nil || kB < 0 {
			return footprint{}, fmt.Errorf("smaps_rollup: %q is no size", fields[1])
		}
		switch string(fields[0]) {
		case "Pss:":
			f.total = kB << 10
		case "Private_Dirty:":
			f.private = kB << 10
		}
	}
	if f.total == 0 { // a zombie has no memory, and no such line
		return footprint{}, fmt.Errorf("smaps_rollup tells no size")
	}
	return f, nil
}

// parseStatm reads the second number of proc_pid_statm(5), the resident pages.
func parseStatm(statm []byte) (footprint, error) {
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return footprint{}, fmt.Errorf("statm tells no size")
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 40)
	if err != nil || pages <= 0 {
		return footprint{}, fmt.Errorf("statm: %q is no size", fields[1])
	}
	return footprint{total: pages * int64(os.Getpagesize())}, nil
}

// childrenOf returns the direct children, of whichever thread they were started.
func childrenOf(pid int) (pids []int) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		raw, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range bytes.Fields(raw) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
