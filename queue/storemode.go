package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// storeMode is what a store was made for, kept in its file "mode". A server that opens a store of another mode finds no
// stream in it that it knows of and deletes them all as leftovers (nats-server 2.15.2).
type storeMode struct {
	Cluster string `json:"cluster,omitempty"` // name of the cluster; "" is a server on its own
	Server  string `json:"server"`            // name of the server, by which a cluster knows its members again
}

func (m storeMode) String() string {
	if m.Cluster == "" {
		return "a broker on its own"
	}
	return fmt.Sprintf("a node of the cluster %q", m.Cluster)
}

// errOtherMode tells how a store gets from one mode to the other.
type errOtherMode struct {
	dir       string
	was, want storeMode
}

func (e errOtherMode) Error() string {
	return fmt.Sprintf("the store %s belongs to %s, and opened as %s it would be wiped: "+
		"take its streams along with `nats account backup` and `nats account restore` (docs/operations.md, \"From one node to three\"), "+
		"or give this node an empty folder as nats.store", e.dir, e.was, e.want)
}

// claimStore marks a new store as one for this cluster, or for none, and refuses one that is for something else. It
// returns the server's name, which belongs to the store as well.
func claimStore(dir, cluster, host string) (server string, err error) {
	want := storeMode{Cluster: cluster, Server: newID(host)}
	was, err := readStoreMode(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return want.Server, writeStoreMode(dir, want)
	case err != nil:
		return "", err
	case was.Cluster != cluster:
		return "", errOtherMode{dir, was, want}
	case was.Server == "":
		return want.Server, writeStoreMode(dir, want)
	}
	return was.Server, nil
}

const modeFile = "mode"

// readStoreMode knows stores without the file: those of maxrelay before it had clusters.
func readStoreMode(dir string) (m storeMode, err error) {
	data, err := os.ReadFile(filepath.Join(dir, modeFile))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Join(dir, "jetstream"))
		return storeMode{}, err
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil && !isToken(m.Server) {
		err = errors.New("server name is no token")
	}
	if err != nil {
		return m, fmt.Errorf("what the broker's store is for: %s: %w", filepath.Join(dir, modeFile), err)
	}
	return m, nil
}

func writeStoreMode(dir string, m storeMode) error {
	if err := writePrivate(filepath.Join(dir, modeFile), encode(m)); err != nil {
		return fmt.Errorf("marking the broker's store: %w", err)
	}
	return nil
}
