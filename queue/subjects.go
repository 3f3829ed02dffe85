package queue

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Verbs of the subjects below.
const (
	verbClaim = "claim" // worker → owner, request: may I have this job
	verbBody  = "body"  // worker → owner, request: a chunk of a large body
	verbAlive = "alive" // worker → owner, request: I still run these
	verbHere  = "here"  // owner → owner, request: are you there
	verbLook  = "look"  // owner → all owners, request: what does your queue hold

	verbBeat      = "beat" // worker → all owners: who I am and how busy
	verbBye       = "bye"  // worker → all owners: I am gone
	verbDirectory = "dir"  // worker → all owners: what my processes hold

	verbHello   = "hello"   // owner → worker or all: say who you are
	verbWelcome = "welcome" // owner → worker: your consumers exist
	verbCancel  = "cancel"  // owner → worker: stop this attempt
	verbResend  = "resend"  // owner → worker: frames are missing
	verbDrain   = "drain"   // owner → worker, request: take no more jobs
	verbResume  = "resume"  // owner → worker, request: take jobs again
	verbRun     = "run"     // owner → worker, request: a ticket, while the broker takes none
)

const everyWorker = "all"

// OwnerName is how an owner's connection is to be called: joined workers answer no other.
const OwnerName = "api"

func sharedSubject(pool, key string) string { return "jobs.q." + pool + "." + key }
func stickySubject(worker string) string    { return "jobs.w." + worker }

// claimSubject names the pool besides: a worker is let claim jobs of its own pools only.
func claimSubject(node, pool, worker string) string {
	return "api." + node + "." + verbClaim + "." + pool + "." + worker
}

func pullSubject(consumer string) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + jobsStream + "." + consumer
}

// viaSubject is where a joined worker sends what is for another subject, which the desk looks at first.
func viaSubject(worker, subject string) string { return "via." + worker + "." + subject }

// joinSubject names the invitation besides, by the hash of its secret: what was sent under one must not be taken for
// another that has replaced it since.
func joinSubject(name string, invite []byte) string {
	return "join." + name + "." + hex.EncodeToString(invite)
}

// Joined and invited workers have inboxes that nobody else's name can lead to.
func memberInbox(id string) string    { return inboxPrefix("member") + "." + id }
func invitedInbox(name string) string { return inboxPrefix("join") + "." + name }

func poolConsumer(pool string) string     { return "q_" + pool }
func workerConsumer(worker string) string { return "w_" + worker }

func ownerSubject(node, verb, worker string) string { return "api." + node + "." + verb + "." + worker }
func frameSubject(node, worker, job string) string  { return "r." + node + "." + worker + "." + job }
func upSubject(worker, verb string) string          { return "up." + worker + "." + verb }
func downSubject(worker, verb string) string        { return "wk." + worker + "." + verb }

// lastTwo returns the last two tokens of a subject.
func lastTwo(subject string) (string, string, bool) {
	rest, last, ok := cutLast(subject)
	if !ok {
		return "", "", false
	}
	if _, before, ok := cutLast(rest); ok {
		return before, last, true
	}
	return "", "", false
}

func cutLast(subject string) (before, last string, ok bool) {
	dot := strings.LastIndexByte(subject, '.')
	if dot < 0 {
		return "", "", false
	}
	return subject[:dot], subject[dot+1:], true
}

// isToken tells whether s can stand between the dots of a subject and in a consumer's name.
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && strings.IndexFunc(s, notTokenRune) < 0
}

const maxToken = 64

// token makes s one.
func token(s string) string {
	clean := strings.Map(func(r rune) rune {
		if notTokenRune(r) {
			return '-'
		}
		return r
	}, s)
	return clean[:min(len(clean), maxToken-8)]
}

func notTokenRune(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

const idSuffix = 3 // bytes

// NewWorkerID is a worker's name made unique to this start.
func NewWorkerID(name string) string { return newID(name) }

// labelOf is the label in an id of newID.
func labelOf(id string) string { return id[:max(0, len(id)-1-2*idSuffix)] }

// newID is a label made unique to this start, so that nothing said to an earlier one reaches this one.
func newID(label string) string {
	var suffix [idSuffix]byte
	rand.Read(suffix[:])
	if label = token(label); label == "" {
		label = "node"
	}
	return label + "-" + hex.EncodeToString(suffix[:])
}
