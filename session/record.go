package session

import (
	"slices"

	"maxrelay/session/chat"
)

// record is what a process holds: the identity it was claimed for and, for each
// message of its conversation, what is needed to recognise it and to cut there.
type record struct {
	origin  chat.Fingerprint // F0; set at the claim, never changed
	entries []entry
}

type entry struct {
	print chat.Fingerprint // Fi of the conversation up to here
	uuid  string           // of a user line; "" for an assistant's
	// cuttable says that the CLI can rewind to just before this line: a user line
	// without tool results.
	cuttable bool
}

// common returns how many leading messages of chain (F0…Fn) the process holds.
func (r *record) common(chain []chat.Fingerprint) int {
	n := 0
	for n < len(r.entries) && n+1 < len(chain) && r.entries[n].print == chain[n+1] {
		n++
	}
	return n
}

// cutAt returns the largest number of messages ≤ most that can be kept by a cut, and
// whether there is any such cut. Keeping k means to rewind to line k. A canonical
// history begins with a question, so it can always be cut to nothing; the CLI would
// keep an assistant's opening before it (Claude Code 2.1.330).
func (r *record) cutAt(most int) (keep int, ok bool) {
	for k := min(most, len(r.entries)-1); k >= 0; k-- {
		if r.entries[k].cuttable {
			return k, true
		}
	}
	return 0, false
}

// newestUser returns the uuid of the newest user line, which a rewind must name.
func (r *record) newestUser() string {
	for _, e := range slices.Backward(r.entries) {
		if e.uuid != "" {
			return e.uuid
		}
	}
	return ""
}

// add appends message m of a conversation. id is its uuid for a user line.
func (r *record) add(m chat.Message, id string) {
	r.entries = append(r.entries, entry{
		print:    r.last().Next(m),
		uuid:     id,
		cuttable: m.Role == chat.RoleUser && !holds(m, chat.BlockToolResult),
	})
}

func (r *record) last() chat.Fingerprint {
	if n := len(r.entries); n > 0 {
		return r.entries[n-1].print
	}
	return r.origin
}

// keep drops all but the first n messages.
func (r *record) keep(n int) { r.entries = r.entries[:n] }

// chain returns F1…Fk in memory of its own.
func (r *record) chain() []chat.Fingerprint {
	prints := make([]chat.Fingerprint, len(r.entries))
	for i, e := range r.entries {
		prints[i] = e.print
	}
	return prints
}

func holds(m chat.Message, t chat.BlockType) bool {
	return slices.ContainsFunc(m.Content, func(b chat.Block) bool { return b.Type == t })
}
