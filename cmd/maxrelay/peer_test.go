package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ownerOfPeer returns the pid of the process on this machine whose TCP socket has this
// local address: who is at the other end of a connection.
func ownerOfPeer(t testing.TB, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	inode := socketInode(t, port)
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	t.Fatalf("no process has the socket %s", inode)
	return 0
}

// socketInode looks the local port up in the kernel's table of TCP sockets.
func socketInode(t testing.TB, port string) string {
	t.Helper()
	n, _ := strconv.Atoi(port)
	local := fmt.Sprintf("0100007F:%04X", n)
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[1] == local {
			return fields[9]
		}
	}
	t.Fatalf("no socket at port %s", port)
	return ""
}
