package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"maxrelay/queue"
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

func TestDoctorTriesTheNodeThatAWorkerHasJoined(t *testing.T) {
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{DataDir: t.TempDir()}
	away := freeAddress(t)
	if err := (queue.Credentials{Name: "far", Pools: []string{"default"}, URLs: []string{away}, Seed: string(seed)}).Save(cfg.credentialsFile()); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	f := &findings{out: &said}
	f.examineMembership(cfg)
	if !f.sick || !strings.Contains(said.String(), "FAIL  the node admits this worker: "+away) || !strings.Contains(said.String(), "connection refused") {
		t.Errorf("it said %q", said.String())
	}
}

func TestDoctorLetsANodeWithoutAWorkerGoWithoutACLI(t *testing.T) {
	for api, first := range map[bool]string{false: "FAIL  claude CLI", true: "note  claude CLI"} {
		cfg := defaultConfig()
		cfg.DataDir = t.TempDir()
		cfg.Worker.CLI.Path = "/nowhere/claude"
		var said strings.Builder
		f := &findings{out: &said, api: api}
		f.examineCLI(t.Context(), cfg)
		if f.sick == api || !strings.HasPrefix(said.String(), first) {
			t.Errorf("--api=%t: %q", api, said.String())
		}
	}
}
