package main

import "testing"

func TestOneProgramAFolder(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); err == nil {
		t.Error("a folder in use was taken")
	}
	unlock()
	unlock, err = lockFolder(dir)
	if err != nil {
		t.Fatalf("a folder that is free again: %v", err)
	}
	unlock()
}
