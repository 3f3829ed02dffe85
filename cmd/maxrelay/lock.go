package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var errInUse = errors.New("is in use by another maxrelay")

// Locks in a data folder. A node and a worker share one.
const (
	nodeLock   = "lock"
	workerLock = "worker.lock" // of a worker that has joined: two with one key are two of one name
)

// lockFolder keeps a second program of its kind out of a folder: two servers on one store
// lose what they write. The lock goes with the process, however that ends.
func lockFolder(dir, name string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return func() { file.Close() }, nil
	}
	file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s %w", dir, errInUse)
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}
