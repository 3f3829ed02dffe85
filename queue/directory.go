package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// directoryUpdate is a worker's word on what its processes hold. Updates are numbered; a gap, or a heartbeat with
// another number, makes the owner ask for a snapshot, which starts with Reset.
type directoryUpdate struct {
	V       int           `json:"v"`
	Number  uint64        `json:"n"`
	Reset   bool          `json:"reset,omitempty"`
	Changes []chainChange `json:"changes"`
}

// chainChange is the change of one process's chain of fingerprints: its first Keep stay, Add follow them.
type chainChange struct {
	Ref   string `json:"ref"`
	Owner string `json:"owner,omitempty"` // API key id, for people
	Keep  int    `json:"keep,omitempty"`
	Add   []byte `json:"add,omitempty"` // keys, 16 bytes each
	Busy  bool   `json:"busy,omitempty"`
	Drop  bool   `json:"drop,omitempty"`
}

// Bounds of a worker's directory. A session pool holds a process for each of at most 64 slots.
const (
	maxHoldings = 4096
	maxChain    = 16384
	maxKeys     = 1 << 18 // of a worker's holdings together; more are not known, so not found warm
	maxRef      = 128
)

func parseDirectory(data []byte) (directoryUpdate, error) {
	var u directoryUpdate
	if err := json.Unmarshal(data, &u); err != nil {
		return u, fmt.Errorf("directory: %w", err)
	}
	if u.V != wireVersion || len(u.Changes) > maxHoldings {
		return u, errors.New("directory: not of this version")
	}
	for _, c := range u.Changes {
		if c.Ref == "" || len(c.Ref) > maxRef || len(c.Owner) > maxToken || len(c.Add)%len(Key{}) != 0 || c.Keep < 0 || c.Keep > maxChain || c.Keep+len(c.Add)/len(Key{}) > maxChain {
			return u, errors.New("directory: malformed change")
		}
	}
	return u, nil
}

func packKeys(keys []Key) []byte {
	out := make([]byte, 0, len(keys)*len(Key{}))
	for _, k := range keys {
		out = append(out, k[:]...)
	}
	return out
}

func unpackKeys(data []byte) []Key {
	var keys []Key
	for chunk := range slices.Chunk(data, len(Key{})) {
		keys = append(keys, Key(chunk))
	}
	return keys
}

// holding is a process that holds a conversation, as this owner knows it. Guarded by Owner.mu.
type holding struct {
	worker *remote
	owner  string
	chain  []Key
	busy   bool
}

func (o *Owner) onDirectory(worker string, data []byte) {
	u, err := parseDirectory(data)
	if err != nil {
		o.log.Debug().Err(err).Str("worker", worker).Msg("directory update dropped")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.workers[worker]
	if w == nil {
		return // its hello was missed; the next heartbeat has it ask for everything
	}
	if !u.Reset && u.Number != w.updates+1 {
		o.askHelloLocked(w)
		return
	}
	if u.Reset {
		o.forgetLocked(w)
	}
	w.updates = u.Number
	for _, c := range u.Changes {
		o.changeLocked(w, c)
	}
}

func (o *Owner) changeLocked(w *remote, c chainChange) {
	h := w.holdings[c.Ref]
	switch {
	case c.Drop && h != nil:
		o.unindexLocked(h, 0)
		delete(w.holdings, c.Ref)
	case c.Drop, h == nil && len(w.holdings) >= maxHoldings:
	case h == nil:
		h = &holding{worker: w}
		w.holdings[c.Ref] = h
		fallthrough
	default:
		o.unindexLocked(h, min(c.Keep, len(h.chain)))
		o.indexLocked(h, unpackKeys(c.Add))
		h.owner, h.busy = c.Owner, c.Busy
	}
}

// indexLocked lengthens a chain.
func (o *Owner) indexLocked(h *holding, keys []Key) {
	keys = keys[:max(0, min(len(keys), maxKeys-h.worker.keys))]
	for _, key := range keys {
		if o.holders[key] == nil {
			o.holders[key] = make(map[*holding]int)
		}
		o.holders[key][h]++
	}
	h.chain = append(h.chain, keys...)
	h.worker.keys += len(keys)
}

// unindexLocked cuts a chain to its first keep keys. Its cost does not depend on what other chains hold, nor on how
// often a key stands in this one: what comes from the network must not choose how long the lock is held.
func (o *Owner) unindexLocked(h *holding, keep int) {
	for _, key := range h.chain[keep:] {
		by := o.holders[key]
		if by[h]--; by[h] == 0 {
			delete(by, h)
		}
		if len(by) == 0 {
			delete(o.holders, key)
		}
	}
	h.worker.keys -= len(h.chain) - keep
	h.chain = h.chain[:keep]
}

// forgetLocked drops everything a worker holds.
func (o *Owner) forgetLocked(w *remote) {
	for _, h := range w.holdings {
		o.unindexLocked(h, 0)
	}
	clear(w.holdings)
}
