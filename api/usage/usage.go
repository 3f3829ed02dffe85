package usage

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"maxrelay/api/key"
	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/projection"
)

// Config is the configuration of a Usage. Zero fields take the defaults given here.
type Config struct {
	Records *projection.Projection    // required
	Prices  func() stats.Prices       // as they are now; none
	Quota   func(key.Identity) Quota  // how a key stands; without any limit
	Names   func(keyID string) string // of keys, for people; ""
	Now     func() time.Time          // time.Now
}

func (c Config) withDefaults() Config {
	if c.Prices == nil {
		c.Prices = func() stats.Prices { return nil }
	}
	if c.Quota == nil {
		c.Quota = func(who key.Identity) Quota {
			return Quota{Used: c.Records.Use(who.ID).Tokens, Tier: who.Tier, Active: true}
		}
	}
	if c.Names == nil {
		c.Names = func(string) string { return "" }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Usage answers from the projection of this node.
type Usage struct{ cfg Config }

// Warning is what is wrong with the answers, if anything is.
func (u *Usage) Warning() string {
	if u.cfg.Records.Behind() {
		return "usage that is asked for is old: the log tells why"
	}
	return ""
}

// Handler answers a caller's request, or returns why not for the router to tell: a
// *chat.Error, or something that is none of the client's business.
type Handler func(w http.ResponseWriter, r *http.Request, who key.Identity) error

// New returns a Usage, which needs no end.
func New(cfg Config) (*Usage, error) {
	if cfg.Records == nil {
		return nil, errors.New("usage: nothing to answer from")
	}
	return &Usage{cfg.withDefaults()}, nil
}

// told returns what a client is told of an error of the projection.
func told(err error) error {
	if errors.Is(err, projection.ErrNotReady) {
		return errors.Join(&chat.Error{Code: chat.CodeNotReady, Message: "usage is being read anew: ask again in a moment"}, err)
	}
	return err
}

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // a client that left needs no error
	return nil
}

// percent is a share in percent, to two digits.
func percent(part, of int64) float64 {
	return round2(100 * float64(part) / float64(cmp.Or(of, 1)))
}
