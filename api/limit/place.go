package limit

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// place is a stream of changes and how its subjects begin.
type place struct{ stream, prefix string }

// A stream of one copy is kept otherwise than one of several, and the broker does not
// let the one become the other (nats-server 2.15.2): each has its own place, and carry
// takes what is in the other one along.
var (
	ofOne     = place{"QUOTA", "quota."}
	ofSeveral = place{"QUOTAS", "quotas."}
)

// placesFor returns where changes are with so many replicas, and where they are not.
func placesFor(replicas int) (home, other place) {
	if replicas == 1 {
		return ofOne, ofSeveral
	}
	return ofSeveral, ofOne
}

func (p place) subject(a account) string { return p.prefix + a.key + "." + a.period }

func accountIn(subject string) (account, error) {
	prefix, rest, _ := strings.Cut(subject, ".")
	key, period, found := strings.Cut(rest, ".")
	if prefix += "."; prefix != ofOne.prefix && prefix != ofSeveral.prefix || !found || !isToken(key) || !isToken(period) {
		return account{}, errors.New("subject is no account")
	}
	return account{key, period}, nil
}

// config has no bound, because what it would drop is the counters: compaction bounds it.
func (p place) config(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:            p.stream,
		Description:     "tokens reserved and used, by key and day or lifetime",
		Subjects:        []string{p.prefix + "*.*"},
		Storage:         jetstream.FileStorage,
		Replicas:        replicas,
		MaxMsgSize:      1 << 10,
		Duplicates:      repeatable,
		AllowMsgCounter: true,
		PersistMode:     p.persistMode(),
	}
}

// persistMode lets a single broker write changes to disk some milliseconds after it
// acknowledged them, whatever its own rule is. What a crash loses is found: the end of a
// request that is lost leaves its reservation open, and is made from its usage event. A
// power cut may lose the last changes, and the counter is too low by them.
func (p place) persistMode() jetstream.PersistModeType {
	if p == ofOne {
		return jetstream.AsyncPersistMode
	}
	return jetstream.DefaultPersistMode
}
