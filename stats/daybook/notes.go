package daybook

import "sync"

// notes are first messages of requests that are not in the file yet. They are bounded:
// more than a day lists need not be kept, and the oldest go.
type notes struct {
	most int

	mu    sync.Mutex
	first map[string]string
	order []string // ids as they came; those that were taken may still be in it
}

func newNotes(most int) notes { return notes{most: most, first: make(map[string]string)} }

func (n *notes) put(id, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.order) >= n.most {
		delete(n.first, n.order[0])
		n.order = n.order[1:]
	}
	n.first[id] = text
	n.order = append(n.order, id)
}

func (n *notes) take(id string) (text string, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, known = n.first[id]
	delete(n.first, id)
	return text, known
}
