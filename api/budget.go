package api

import "sync"

// budget is how many bytes the bodies of all requests may hold at a time. No caller gets
// more than a share of it, so that none can keep all others out.
type budget struct {
	mu    sync.Mutex
	left  int64
	share int64
	held  map[string]int64 // by the id of the caller's key
}

func newBudget(size, share int64) *budget {
	return &budget{left: size, share: share, held: make(map[string]int64)}
}

// take reports whether the caller may hold n bytes more, and holds them.
func (b *budget) take(key string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left || b.held[key]+n > b.share {
		return false
	}
	b.left -= n
	b.held[key] += n
	return true
}

func (b *budget) giveBack(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
	if b.held[key] -= n; b.held[key] == 0 {
		delete(b.held, key)
	}
}
