package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maxrelay/stats"
)

const (
	// lookPause is how often the record as a whole is looked at: what it dropped, and
	// whether it is still the same one.
	lookPause = 10 * time.Second

	retryPause = time.Second
)

// keeper is keep's own.
type keeper struct {
	*Projection
	reader *stats.Reader
	extent stats.Extent // at the last look
	looked time.Time

	anew time.Time // when the book was begun, until it has caught up; zero: it was there
}

// keep keeps the book up with the record until ctx ends. What fails is tried again.
func (p *Projection) keep(ctx context.Context) {
	k := &keeper{Projection: p}
	for ctx.Err() == nil {
		if err := k.follow(ctx); err != nil {
			k.fails(ctx, err)
		}
	}
}

// fails tells once that the book is not kept up, and waits a moment.
func (k *keeper) fails(ctx context.Context, err error) {
	if errors.Is(err, errUnusable) {
		k.spoil(err)
		return
	}
	if ctx.Err() != nil {
		return
	}
	if !k.behind.Swap(true) {
		k.log.Warn().Err(err).Msg("usage log is not kept up with the record, trying again until it is")
	}
	select {
	case <-time.After(retryPause):
	case <-ctx.Done():
	}
}

// follow applies what is recorded until the book has to be made anew.
func (k *keeper) follow(ctx context.Context) error {
	if err := k.start(ctx); err != nil {
		return err
	}
	for k.unfit() == nil {
		batch, err := k.reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := k.apply(batch); err != nil {
			return err
		}
		if time.Since(k.looked) > lookPause {
			if err := k.look(ctx, batch.Last == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// start makes sure of a book that fits the record, to read on where it stopped.
func (k *keeper) start(ctx context.Context) (err error) {
	if k.reader, err = stats.NewReader(k.nc, 1, k.log); err != nil {
		return err
	}
	if err := k.look(ctx, false); err != nil {
		return err
	}
	if reason := k.unfit(); reason != nil {
		if err := k.begin(reason); err != nil {
			return err
		}
	}
	if k.reader, err = stats.NewReader(k.nc, k.book.place.upto+1, k.log); err != nil {
		return err
	}
	return k.apply(stats.Batch{}) // there may be nothing new
}

// unfit is why the book has to be made anew, if it has.
func (k *keeper) unfit() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spoiled == nil && isAsked(k.dir) {
		return errAsked
	}
	return k.spoiled
}

var (
	errAsked   = errors.New("it was asked for")
	errForeign = errors.New("it is of another record")
)

// look sees what became of the record. An idle reader that is behind has lost messages.
func (k *keeper) look(ctx context.Context, idle bool) (err error) {
	if k.extent, err = k.reader.Extent(ctx); err != nil {
		return err
	}
	k.looked = time.Now()
	switch {
	case k.book == nil:
	case k.book.place.record != k.extent.Created.UnixNano(), k.book.place.upto > k.extent.Last:
		k.spoil(errForeign)
	case k.extent.First > k.book.place.first:
		return k.book.forget(k.extent.First)
	case idle && k.extent.Last > k.book.place.upto:
		k.reader.Reopen()
	}
	return nil
}

// begin replaces the book by an empty one.
func (k *keeper) begin(reason error) error {
	k.log.Info().AnErr("reason", reason).Msg("usage log is made anew")
	k.setReady(false)
	k.use.Lock()
	defer k.use.Unlock()
	k.dropLocked()
	if err := k.beginLocked(); err != nil {
		return fmt.Errorf("usage log: %w", err)
	}
	k.anew = time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spoiled = nil
	return hearAsk(k.dir)
}

func (k *keeper) beginLocked() (err error) {
	if err := remove(k.path()); err != nil {
		return err
	}
	if err := create(k.path()); err != nil {
		return err
	}
	if k.book, err = openBook(k.path()); err != nil {
		return err
	}
	return k.book.begin(k.extent)
}

func (k *keeper) apply(batch stats.Batch) error {
	if batch.Last > 0 {
		if err := k.book.apply(batch); err != nil {
			return err
		}
	}
	if k.reader.Follows() && k.behind.Swap(false) {
		k.log.Info().Msg("usage log is kept up with the record again")
	}
	level := batch.Left == 0
	if batch.Last == 0 {
		level = k.book.place.upto >= k.extent.Last
	}
	if !level {
		return nil
	}
	return k.caughtUp(batch.Last > 0)
}

// caughtUp lets questions be answered.
func (k *keeper) caughtUp(more bool) error {
	k.mu.Lock()
	fresh := !k.ready && k.spoiled == nil
	k.mu.Unlock()
	if fresh {
		if !k.anew.IsZero() {
			k.log.Info().Dur("ms", time.Since(k.anew)).Uint64("seq", k.book.place.upto).Msg("usage log has caught up with the record")
		}
		k.anew = time.Time{}
		if err := answerAsk(k.dir); err != nil {
			return err
		}
	}
	if fresh || more {
		k.setReady(true)
	}
	return nil
}

// check reads the file as a whole, for damage that no question may meet for long.
func (p *Projection) check(ctx context.Context) {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.book == nil {
		return
	}
	if err := p.book.check(ctx); errors.Is(err, errUnusable) {
		p.spoil(err)
	} else if err != nil && ctx.Err() == nil {
		p.log.Warn().Err(err).Msg("usage log cannot be checked")
	}
}
