package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// asDisk makes the test binary hold a file system of its own at this path.
const asDisk = "MAXRELAY_TEST_AS_DISK"

// diskSize leaves room for all that the tests write.
const diskSize = 512 << 20

// disk is a file system in memory that can be filled without harm to anything else. A
// process holds it in a mount namespace of its own, through which others get there, so
// it takes no rights where unprivileged user namespaces are allowed.
type disk struct {
	t   testing.TB
	dir string // where to find it
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	at := t.TempDir()
	holder := exec.Command(os.Args[0])
	holder.Env = []string{asDisk + "=" + at}
	holder.Stderr = os.Stderr
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		holder.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		holder.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		holder.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	stdin, err1 := holder.StdinPipe()
	stdout, err2 := holder.StdoutPipe()
	if err := errors.Join(err1, err2, holder.Start()); err != nil {
		t.Fatal("a disk of the test's own: ", err)
	}
	t.Cleanup(func() { // after the processes that use it, which are killed before
		_ = stdin.Close()
		_ = holder.Wait()
	})
	if said, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("a disk of the test's own: %q, %v", said, err)
	}
	return &disk{t: t, dir: fmt.Sprintf("/proc/%d/root%s", holder.Process.Pid, at)}
}

// holdDisk is the life of the process that holds it: until stdin ends.
func holdDisk(at string) {
	if err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprint("mode=700,size=", diskSize)),
	); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// keep has a node keep its broker's streams there.
func (d *disk) keep(s *site) {
	s.nodes += fmt.Sprintf("\n  store: %q", filepath.Join(d.dir, "nats"))
}

// fill takes all room there is.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err = f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2] // there may be room for less
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling a disk: %w", err)
	}
	return nil
}

// empty makes room again.
func (d *disk) empty() error { return os.Remove(d.ballast()) }
