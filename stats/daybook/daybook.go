package daybook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/stats"
	"maxrelay/stats/projection"
	"maxrelay/stats/totals"
)

// Config is the configuration of a Daybook. Zero fields take the defaults given here.
type Config struct {
	Path          string        // of the file; required
	PerDay        int           // newest requests that are listed for a day, 200
	FirstMessages bool          // keep how each request's conversation begins
	Pause         time.Duration // shortest time between two writes, 1 s
}

func (c Config) withDefaults() Config {
	c.PerDay = cmp.Or(c.PerDay, 200)
	c.Pause = cmp.Or(c.Pause, time.Second)
	return c
}

func (c Config) validate() error {
	if c.Path == "" || c.PerDay < 0 || c.Pause < 0 {
		return errors.New("usage file: it has no path, or a bound is negative")
	}
	return nil
}

// Daybook writes the file when there is something new, all of it at once: who reads it
// finds the former or the new one.
//
// All comes from the projection, but for the first messages. They are told by Note and
// live in the file alone: a Daybook takes over those that the file has.
type Daybook struct {
	cfg  Config
	of   *projection.Projection
	log  zerolog.Logger
	note notes

	end  context.CancelFunc
	kept sync.WaitGroup // the goroutine of keep

	ailing bool // the last write failed; keep's own

	mu    sync.Mutex
	pages map[totals.Day]*page
}

// Open keeps the file up with the projection until Close. The projection stays the
// caller's to close, after Close.
func Open(cfg Config, of *projection.Projection, log zerolog.Logger) (*Daybook, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &Daybook{cfg: cfg, of: of, log: log, note: newNotes(4 * cfg.PerDay), pages: make(map[totals.Day]*page)}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("usage file: %w", err)
	}
	var ctx context.Context
	ctx, d.end = context.WithCancel(context.Background())
	d.kept.Go(func() { d.keep(ctx) })
	return d, nil
}

// prepare makes the folder, and takes over what only the former file knows.
func (d *Daybook) prepare() error {
	if err := makeFolder(d.cfg.Path); err != nil {
		return err
	}
	if !d.cfg.FirstMessages {
		return nil
	}
	former, err := readFirstMessages(d.cfg.Path)
	if err != nil {
		d.log.Warn().Err(err).Msg("the first messages of the former usage file are lost")
	}
	for day, first := range former {
		d.pages[day] = &page{first: first}
	}
	return nil
}

// Close writes what is new and ends.
func (d *Daybook) Close() {
	d.end()
	d.kept.Wait()
}

// Note tells the first message of a request's conversation, before the request is
// recorded. Only its beginning is kept.
func (d *Daybook) Note(id, firstMessage string) {
	if d.cfg.FirstMessages {
		d.note.put(id, beginning(firstMessage))
	}
}

// messageLength is how many characters of a first message are kept.
const messageLength = 100

// beginning is a text of its own: it does not hold on to the rest.
func beginning(text string) string {
	n := 0
	for i := range text {
		if n == messageLength {
			return strings.Clone(text[:i])
		}
		n++
	}
	return strings.Clone(text)
}

// writeShare is how many times as long as a write took the next one is waited with: a
// large file is written less often.
const writeShare = 20

// keep writes when there is something new, not more often than the pauses let it, and
// once more at the end.
func (d *Daybook) keep(ctx context.Context) {
	working := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		changed, began := d.of.Changed(), time.Now()
		d.write(working)
		took := time.Since(began)
		pause := time.After(max(d.cfg.Pause-took, writeShare*took))
		if !d.ailing {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		select {
		case <-pause:
		case <-ctx.Done():
		}
	}
	d.write(working)
}

// write tries to bring the file up to date. While the projection is not ready the
// former file stays.
func (d *Daybook) write(ctx context.Context) {
	err := d.tryWrite(ctx)
	switch {
	case errors.Is(err, projection.ErrNotReady):
	case err != nil && !d.ailing:
		d.ailing = true
		d.log.Warn().Err(err).Msg("usage file is not written, trying again until it is")
	case err == nil && d.ailing:
		d.ailing = false
		d.log.Info().Msg("usage file is written again")
	}
}

func (d *Daybook) tryWrite(ctx context.Context) error {
	return replace(d.cfg.Path, func(w io.Writer) error { return d.Render(ctx, w) })
}

// Render writes what the file is to hold now.
func (d *Daybook) Render(ctx context.Context, to io.Writer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	days, err := d.of.Days()
	if err != nil {
		return err
	}
	if err := d.turnLocked(ctx, days); err != nil {
		return err
	}
	return d.renderLocked(to, days)
}

// turnLocked brings the pages up to date. Those of days that were forgotten go.
func (d *Daybook) turnLocked(ctx context.Context, days []totals.DaySum) error {
	kept := make(map[totals.Day]*page, len(days))
	for _, day := range days {
		p := d.pages[day.Day]
		if p == nil {
			p = &page{}
		}
		kept[day.Day] = p
		if p.of == day.Sum {
			continue
		}
		newest, err := d.of.Newest(ctx, day.Day, d.cfg.PerDay)
		if err != nil {
			return err
		}
		p.fill(day.Sum, newest, &d.note)
	}
	d.pages = kept
	return nil
}

// page is a day in the file.
type page struct {
	of    totals.Sum        // what it was filled for
	first map[string]string // first messages by request
	lines [][]byte          // its requests in JSON, oldest first
}

func (p *page) fill(of totals.Sum, newest []stats.Recorded, note *notes) {
	first := make(map[string]string)
	p.lines = make([][]byte, 0, len(newest))
	for _, e := range newest {
		text, known := p.first[e.ID]
		if !known {
			text, known = note.take(e.ID)
		}
		if known {
			first[e.ID] = text
		}
		p.lines = append(p.lines, line(e.Event, text))
	}
	p.of, p.first = of, first
}
