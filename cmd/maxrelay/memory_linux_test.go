package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestTheLeastLimitOfTheControlGroupsHolds(t *testing.T) {
	const none = int64(math.MaxInt64)
	for _, tt := range []struct {
		name, groups string
		files        map[string]string
		want         int64
	}{
		{"no limit", "0::/\n", map[string]string{"memory.max": "max\n"}, none},
		{"a container", "0::/\n", map[string]string{"memory.max": "1000\n"}, 1000},
		{"a service", "0::/system.slice/maxrelay.service\n", map[string]string{"system.slice/maxrelay.service/memory.max": "2000\n", "system.slice/memory.max": "max\n"}, 2000},
		{"a slice above it", "0::/a/b\n", map[string]string{"a/b/memory.max": "2000\n", "a/memory.max": "500\n"}, 500},
		{"version 1", "5:cpu:/\n4:memory:/a\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "700\n"}, 700},
		{"version 1 with others", "4:cpu,memory:/a\n", map[string]string{"memory/memory.limit_in_bytes": "600\n"}, 600},
		{"a path of the host's", "4:memory:/docker/0123\n", map[string]string{"memory/memory.limit_in_bytes": "800\n"}, 800},
		{"upwards and away", "0::/../../x\n", map[string]string{"memory.max": "300\n"}, 300},
		{"nonsense", "what\n\n1:\n0:::\n", map[string]string{"memory.max": "many\n"}, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range tt.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(root, file), text)
			}
			if got := groupLimit(root, tt.groups); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	if n := totalMemory(); n < 64<<20 {
		t.Errorf("this machine has %d bytes", n)
	}
}
