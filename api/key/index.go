package key

import (
	"cmp"
	"slices"
	"sync"
)

// index is what a node knows of the managed keys. It is fed twice, by the watch and by
// this node's own writes, in any order: the higher revision wins.
type index struct {
	mu     sync.RWMutex
	slots  map[string]slot   // by id
	byHash map[digest]string // ids; current and former secrets
	seen   map[string]bool   // ids met since begin; nil outside a snapshot
}

// slot is a key at a revision. Without a record it remembers that the key was removed,
// against older news of it.
type slot struct {
	revision uint64
	record   *Record
}

func newIndex() *index {
	return &index{slots: make(map[string]slot), byHash: make(map[digest]string)}
}

func (x *index) put(r Record) { x.set(r.ID, slot{r.revision, &r}) }

func (x *index) remove(id string, revision uint64) { x.set(id, slot{revision: revision}) }

func (x *index) set(id string, s slot) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen != nil {
		x.seen[id] = true
	}
	if s.revision > x.slots[id].revision {
		x.setLocked(id, s)
	}
}

func (x *index) setLocked(id string, s slot) {
	if old := x.slots[id].record; old != nil {
		for _, h := range old.hashes() {
			delete(x.byHash, h)
		}
	}
	x.slots[id] = s
	if s.record != nil {
		for _, h := range s.record.hashes() {
			x.byHash[h] = id
		}
	}
}

// begin starts a snapshot: all keys will be put again.
func (x *index) begin() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = make(map[string]bool)
}

// settle ends a snapshot. A key that it did not hold was removed while nobody watched,
// and no news of one that was removed before it is on the way any more.
func (x *index) settle() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.slots {
		if !x.seen[id] {
			x.setLocked(id, slot{})
			delete(x.slots, id)
		}
	}
	x.seen = nil
}

func (x *index) find(hash digest) (Record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	id, found := x.byHash[hash]
	if !found {
		return Record{}, false
	}
	return *x.slots[id].record, true
}

func (x *index) get(id string) (Record, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if r := x.slots[id].record; r != nil {
		return *r, true
	}
	return Record{}, false
}

// list returns the newest first.
func (x *index) list() []Record {
	x.mu.RLock()
	all := make([]Record, 0, len(x.slots))
	for _, s := range x.slots {
		if s.record != nil {
			all = append(all, *s.record)
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(all, func(a, b Record) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return all
}
