package main

import (
	"strings"
	"testing"
)

func TestDoctorCountsTheFilesOfAllSessions(t *testing.T) {
	for sessions, sick := range map[int]bool{8: false, 500: true} {
		var said strings.Builder
		f := &findings{out: &said}
		f.examineFiles(1024, sessions)
		if f.sick != sick || sick != strings.HasPrefix(said.String(), "FAIL  open files: ") {
			t.Errorf("1024 files, %d sessions: sick %t, want %t: %q", sessions, f.sick, sick, said.String())
		}
	}
}
