package limit

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/rs/zerolog"
)

// ailing is what the broker does not do at the moment. What is left of a cluster without a majority still answers
// questions, so only a change that it kept says that it keeps changes.
type ailing struct {
	log zerolog.Logger

	mu     sync.Mutex
	unread bool     // it was asked the last time, and did not answer
	unkept *account // whose change it did not take the last time; nil when it did
}

func (a *ailing) is() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isLocked()
}

func (a *ailing) isLocked() bool { return a.unread || a.unkept != nil }

// heard notes whether the broker answered a question.
func (a *ailing) heard(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.isLocked()
	a.unread = err != nil
	a.tellLocked(was, err)
}

// kept notes whether the broker took a change.
func (a *ailing) kept(of account, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.isLocked()
	if a.unkept = nil; err != nil {
		a.unkept = &of
	} else {
		a.unread = false
	}
	a.tellLocked(was, err)
}

func (a *ailing) tellLocked(was bool, err error) {
	switch is := a.isLocked(); {
	case is && !was:
		a.log.Warn().Err(err).Msg("token quotas are not kept: requests that need a reservation are refused")
	case was && !is:
		a.log.Info().Msg("token quotas are kept again")
	}
}

func (a *ailing) unkeptOne() *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unkept
}

// probe tries a change of nothing after one that was not kept, so that no request has to come to see that they are again.
func (j *journal) probe(ctx context.Context) {
	if of := j.ailing.unkeptOne(); of != nil {
		_, _ = j.write(ctx, entry{account: *of, request: recount, step: rand.Text()}) // its error is noted, like any change's
	}
}
