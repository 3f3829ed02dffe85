package limit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	headerIncrement = "Nats-Incr"
	headerNode      = "Maxrelay-Node"

	// A request's first change, its last one, and the one that corrects that when
	// another node ended the request too early.
	stepFirst = "0"
	stepEnd   = "end"
	stepLate  = "late"

	// recount stands where a request does for corrections that belong to none.
	recount = "recount"

	// lifetime stands where the day does for quotas that last as long as their key.
	lifetime = "life"
	dayForm  = "20060102"
)

// account is what a counter counts for: a key, and a day or its lifetime.
type account struct {
	key, period string
}

func accountOf(key string, daily bool, at time.Time) account {
	if !daily {
		return account{key, lifetime}
	}
	return account{key, at.UTC().Format(dayForm)}
}

// day is the account's, and false for a lifetime's.
func (a account) day() (time.Time, bool) {
	t, err := time.Parse(dayForm, a.period)
	return t, err == nil
}

// entry is one change of an account.
type entry struct {
	account account
	request string
	step    string // a number, stepEnd or stepLate
	node    string // that made it
	change  int64
	total   int64 // of the account, after it
	seq     uint64
	time    time.Time
}

func (e entry) last() bool { return e.step == stepEnd || e.step == stepLate }

// message is the entry on its way to the broker, which adds it up.
func (e entry) message(to place) *nats.Msg {
	m := nats.NewMsg(to.subject(e.account))
	m.Header.Set(headerIncrement, fmt.Sprintf("%+d", e.change))
	m.Header.Set(headerNode, e.node)
	return m
}

func (e entry) id() string { return e.request + "." + e.step }

// decodeEntry reads an entry as the broker stored it.
func decodeEntry(m *nats.Msg) (e entry, err error) {
	if e.account, err = accountIn(m.Subject); err != nil {
		return entry{}, err
	}
	var found bool
	if e.request, e.step, found = strings.Cut(m.Header.Get(nats.MsgIdHdr), "."); !found || !isToken(e.request) || !isToken(e.step) {
		return entry{}, errors.New("message id names no request")
	}
	if e.change, err = strconv.ParseInt(m.Header.Get(headerIncrement), 10, 64); err != nil {
		return entry{}, errors.New("increment is no number")
	}
	if e.node = m.Header.Get(headerNode); !isNode(e.node) {
		return entry{}, errors.New("nobody made the change")
	}
	e.total, err = decodeTotal(m.Data)
	return e, err
}

// isNode reports whether it is a node's name and one of its starts.
func isNode(s string) bool {
	name, start, found := strings.Cut(s, ".")
	return found && isToken(name) && isToken(start)
}

// decodeTotal reads the body of a counter's message.
func decodeTotal(data []byte) (int64, error) {
	var body struct {
		Total string `json:"val"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return 0, errors.New("body is no counter")
	}
	total, err := strconv.ParseInt(body.Total, 10, 64)
	if err != nil {
		return 0, errors.New("total is no number")
	}
	return total, nil
}
