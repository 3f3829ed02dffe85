package anthropictest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// prefix stands for all of a prompt up to some place.
type prefix [sha256.Size]byte

// place is the end of a block in the prompt.
type place struct {
	prefix prefix
	bytes  int           // up to here
	own    int           // of these, what the caller said, see own
	ttl    time.Duration // 0: no breakpoint
	run    bool          // the block goes on with a run of tool calls or of results
}

func (p place) tokens() int    { return p.bytes / bytesPerToken }
func (p place) ownTokens() int { return p.own / bytesPerToken }

// chain walks the prompt in the API's order, tools, system, messages, and hashes each prefix on top of the one before. What
// stands outside of them and is yet part of the prompt is mixed in where it makes the rest new.
func chain(account string, body Body) []place {
	var w walk
	w.mix([]byte(account), []byte(body.Model))
	for _, t := range body.Tools {
		w.step(wire.Block{Raw: t.Raw}.Canonical(), t.CacheControl, true)
	}
	w.mix([]byte("system"), body.Fields["speed"])
	for _, b := range body.System {
		w.step(b.Canonical(), b.CacheControl, !isVendor(b.Text))
	}
	w.mix([]byte("messages"), body.Fields["tool_choice"], body.Fields["thinking"], effort(body), pictures(body))
	for _, m := range body.Messages {
		w.mix([]byte(m.Role), wire.Canonical(m.Extra))
		for i, b := range m.Content {
			w.step(b.Canonical(), b.CacheControl, m.Role != "system" && (m.Role != "user" || !isReminder(b)))
			w.places[len(w.places)-1].run = i > 0 && m.Content[i-1].Type == b.Type && (b.Type == "tool_use" || b.Type == "tool_result")
		}
	}
	return append(w.places, place{prefix: w.at, bytes: w.bytes, own: w.own})
}

// effort is the request's setting, unless its messages have settings of their own: these leave what was before them as it is.
func effort(body Body) []byte {
	for _, m := range body.Messages {
		if m.Extra["output_config"] != nil {
			return nil
		}
	}
	var config struct {
		Effort json.RawMessage `json:"effort"`
	}
	if json.Unmarshal(body.Fields["output_config"], &config) != nil {
		return nil
	}
	return config.Effort
}

// pictures tells whether there are any: the first one makes all messages new.
func pictures(body Body) []byte {
	for _, m := range body.Messages {
		for _, b := range m.Content {
			if b.Type == "image" || hasType(Message{Content: b.Content}, "image") {
				return []byte("pictures")
			}
		}
	}
	return nil
}

type walk struct {
	at         prefix
	bytes, own int
	places     []place
}

// mix adds to the prefix what is no block.
func (w *walk) mix(parts ...[]byte) {
	h := sha256.New()
	h.Write(w.at[:])
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	w.at = prefix(h.Sum(nil))
}

func (w *walk) step(block []byte, cc *wire.CacheControl, own bool) {
	w.mix(block)
	w.bytes += len(block)
	if own {
		w.own += len(block)
	}
	w.places = append(w.places, place{prefix: w.at, bytes: w.bytes, own: w.own, ttl: ttl(cc)})
}

func ttl(cc *wire.CacheControl) time.Duration {
	switch {
	case cc == nil:
		return 0
	case cc.TTL == "1h":
		return time.Hour
	}
	return 5 * time.Minute
}
