package main

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// totalMemory is what this process may use at most: the machine's memory, or less where
// a control group has a limit.
func totalMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return int64(info.Totalram) * int64(info.Unit)
	}
	return min(int64(info.Totalram)*int64(info.Unit), groupLimit("/sys/fs/cgroup", string(groups)))
}

// groupLimit reads the limits of the memory groups that a file as in cgroups(7) names,
// of version 1 and 2, mounted below root. A limit holds for all groups below it.
func groupLimit(root, groups string) int64 {
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case id == "0" && controllers == "":
			limit = min(limit, leastUpwards(root, group, "memory.max"))
		case slices.Contains(strings.Split(controllers, ","), "memory"):
			limit = min(limit, leastUpwards(filepath.Join(root, "memory"), group, "memory.limit_in_bytes"))
		}
	}
	return limit
}

// leastUpwards passes over what is not there: in a container the group's path may be
// the host's, and only the root is to be seen.
func leastUpwards(root, group, file string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		raw, err := os.ReadFile(filepath.Join(root, dir, file))
		if err == nil {
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && limit > 0 { // "max" is no limit
				least = min(least, limit)
			}
		}
		if dir == "/" {
			return least
		}
	}
}
