package main

import "testing"

func TestOneProgramAFolder(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockFolder(dir, nodeLock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir, nodeLock); err == nil {
		t.Error("a folder in use was taken")
	}
	if free, err := lockFolder(dir, workerLock); err != nil {
		t.Errorf("a worker beside a node: %v", err)
	} else {
		free()
	}
	unlock()
	unlock, err = lockFolder(dir, nodeLock)
	if err != nil {
		t.Fatalf("a folder that is free again: %v", err)
	}
	unlock()
}
