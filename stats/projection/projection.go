package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// ErrNotReady is the answer to questions while the projection has yet to catch up with
// the record.
var ErrNotReady = errors.New("usage is being read from the record")

// Projection keeps a folder's file up with the record.
type Projection struct {
	dir string
	nc  *nats.Conn
	log zerolog.Logger

	end  context.CancelFunc
	kept sync.WaitGroup // the goroutines of keep and check

	behind atomic.Bool // something keeps the book from being kept up

	// use is held for reading while a question is answered, and for writing while the
	// book is replaced, which keep alone does.
	use  sync.RWMutex
	book *book // nil: there is none that can be used

	mu      sync.Mutex
	ready   bool          // the book has caught up with the record
	spoiled error         // why it has to be made anew
	changed chan struct{} // closed and replaced when there is more to ask for
}

// Open opens the file in a folder, which must be this program's alone, and keeps it up
// with the record until Close. It does not wait for what is new there. The connection
// stays the caller's.
func Open(dir string, nc *nats.Conn, log zerolog.Logger) (*Projection, error) {
	p := &Projection{dir: dir, nc: nc, log: log, changed: make(chan struct{})}
	began := time.Now()
	b, err := openBook(p.path())
	switch {
	case errors.Is(err, errUnusable):
		p.spoiled = err
	case err != nil:
		return nil, fmt.Errorf("usage log: %w", err)
	default:
		log.Debug().Dur("ms", time.Since(began)).Uint64("seq", b.place.upto).Msg("usage log is open")
	}
	p.book = b
	var ctx context.Context
	ctx, p.end = context.WithCancel(context.Background())
	p.kept.Go(func() { p.check(ctx) })
	p.kept.Go(func() { p.keep(ctx) })
	return p, nil
}

func (p *Projection) path() string { return filepath.Join(p.dir, fileName) }

// Close ends it. What was applied is in the file.
func (p *Projection) Close() {
	p.end()
	p.kept.Wait()
	p.use.Lock()
	defer p.use.Unlock()
	p.setReady(false)
	p.dropLocked()
}

// dropLocked is called with use held for writing.
func (p *Projection) dropLocked() {
	if p.book == nil {
		return
	}
	if err := p.book.close(); err != nil {
		p.log.Warn().Err(err).Msg("usage log does not close")
	}
	p.book = nil
}

// Changed returns a channel that is closed when there is more to ask for.
func (p *Projection) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *Projection) setReady(ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = ready
	close(p.changed)
	p.changed = make(chan struct{})
}

// spoil has the book made anew.
func (p *Projection) spoil(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready, p.spoiled = false, err
}

// Ready waits until the projection has caught up with the record.
func (p *Projection) Ready(ctx context.Context) error {
	for {
		p.mu.Lock()
		ready, changed := p.ready, p.changed
		p.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Behind reports whether something keeps the projection from keeping up with the
// record. What it answers is old then.
func (p *Projection) Behind() bool { return p.behind.Load() }

// Use is what a key has used. While the projection is not ready it is less than that.
func (p *Projection) Use(key string) totals.Use {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.book == nil {
		return totals.Use{}
	}
	return p.book.totals.Use(key)
}

// ask answers a question about the book, which is not replaced meanwhile.
func (p *Projection) ask(question func(*book) error) error {
	p.use.RLock()
	defer p.use.RUnlock()
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if !ready {
		return ErrNotReady
	}
	err := question(p.book)
	if errors.Is(err, errUnusable) {
		p.spoil(err)
		return errors.Join(ErrNotReady, err)
	}
	return err
}

// Days returns what each day's requests of all keys used, in their order.
func (p *Projection) Days() (days []totals.DaySum, err error) {
	err = p.ask(func(b *book) error {
		days = b.totals.Days()
		return nil
	})
	return days, err
}

// Newest returns the newest events of a day, oldest first.
func (p *Projection) Newest(ctx context.Context, day totals.Day, limit int) (all []stats.Recorded, err error) {
	err = p.ask(func(b *book) (err error) {
		all, err = b.log.Newest(ctx, day, limit)
		return err
	})
	return all, err
}

// Page returns events of a key, newest first.
func (p *Projection) Page(ctx context.Context, key string, in Span, skip, limit int) (all []stats.Recorded, err error) {
	err = p.ask(func(b *book) (err error) {
		all, err = b.log.Page(ctx, key, in, skip, limit)
		return err
	})
	return all, err
}

// All calls take with what all keys used from one day to another, both included.
func (p *Projection) All(from, to totals.Day, take func(totals.Cell, totals.Sum)) error {
	return p.ask(func(b *book) error {
		each(b.totals.OfAll(from, to), take)
		return nil
	})
}

// Of calls take with what a key used in a span: whole days from the totals, parts of days
// from the log.
func (p *Projection) Of(ctx context.Context, key string, in Span, take func(totals.Cell, totals.Sum)) error {
	return p.ask(func(b *book) error {
		whole, parts := in.split()
		if whole.From <= whole.To {
			each(b.totals.OfKey(key, whole.From, whole.To), take)
		}
		for _, part := range parts {
			used, err := b.log.parts(ctx, key, part)
			if err != nil {
				return err
			}
			for _, u := range used {
				take(u.Cell, u.Sum)
			}
		}
		return nil
	})
}

func each(all iter.Seq2[totals.Cell, totals.Sum], take func(totals.Cell, totals.Sum)) {
	for c, s := range all {
		take(c, s)
	}
}
