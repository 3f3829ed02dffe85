package session

import (
	"strings"

	"maxrelay/session/chat"
)

// cutter ends a text before the first of its stops. The upstream does that itself,
// except for stops of white space only, which it refuses. What could be the begin of a
// stop is held back until more is known.
type cutter struct {
	stops []string
	held  string
}

// next takes a piece of text and returns what may be shown now, and the stop that was
// found behind it.
func (c *cutter) next(piece string) (show, stop string) {
	if len(c.stops) == 0 {
		return piece, ""
	}
	text := c.held + piece
	end := len(text)
	for _, s := range c.stops {
		if i := strings.Index(text, s); i >= 0 && i < end {
			end, stop = i, s
		}
	}
	if stop != "" {
		c.held = ""
		return text[:end], stop
	}
	keep := c.begun(text)
	c.held = text[len(text)-keep:]
	return text[:len(text)-keep], ""
}

// begun is the length of the longest end of text that begins a stop.
func (c *cutter) begun(text string) (n int) {
	for _, s := range c.stops {
		for k := min(len(s)-1, len(text)); k > n; k-- {
			if strings.HasSuffix(text, s[:k]) {
				n = k
			}
		}
	}
	return n
}

// rest returns what is held back, at the end of a text.
func (c *cutter) rest() string {
	rest := c.held
	c.held = ""
	return rest
}

// stopHere ends the message as the upstream would have at one of its own stops, and
// lets the CLI end its own.
func (t *turn) stopHere(index int, stop string) error {
	t.stop, t.closed = chat.StopSequence, true
	u := t.meter.call
	t.show(chat.Event{Type: chat.EventBlockStop, Index: index})
	t.emit(chat.Event{Type: chat.EventMessageDelta, StopReason: t.stop, StopSequence: stop, Usage: &u})
	t.emit(chat.Event{Type: chat.EventMessageStop})
	return t.interrupt()
}
