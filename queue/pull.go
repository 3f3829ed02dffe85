package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pullLife is short because the priority of a parked pull is what was used at the time it was sent.
	pullLife  = 1500 * time.Millisecond
	pullGrace = time.Second            // for the broker to say that a pull has expired
	pullPause = 250 * time.Millisecond // after a refused one
)

// puller parks at most one pull for one ticket at one consumer, and only while a slot is free: a parked pull holds no
// slot, so several of them may be answered when there is room for one, and the tickets too many are handed back.
type puller struct {
	w        *Worker
	consumer string
	group    bool // the consumer serves the least loaded first
	inbox    string
	sub      *nats.Subscription
	msgs     chan *nats.Msg
	kick     chan struct{}

	// Owned by the goroutine of run.
	number int // of the last pull
	parked bool
	again  *time.Timer // when a parked pull is void, or a pause or a rest is over
	paused bool
}

func newPuller(w *Worker, consumer string, group bool) *puller {
	return &puller{
		w: w, consumer: consumer, group: group,
		inbox: w.nc.NewRespInbox(),
		msgs:  make(chan *nats.Msg, 16), // answers to the parked pull and to one or two that were given up
		kick:  make(chan struct{}, 1),
		again: time.NewTimer(time.Hour),
	}
}

func (p *puller) open() (err error) {
	if p.sub, err = p.w.nc.ChanSubscribe(p.inbox+".*", p.msgs); err != nil {
		return fmt.Errorf("worker: subscribing: %w", err)
	}
	return nil
}

func (w *Worker) kickPullers() {
	for _, p := range w.pullers {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
}

func (p *puller) run() {
	defer p.close()
	p.pause(pullPause) // or until an owner says that the consumer is there
	for {
		switch free, used, rest := p.w.room(); {
		case p.parked || p.paused:
		case free > 0:
			p.pull(used)
		case rest > 0:
			p.again.Reset(rest)
		}
		select {
		case <-p.w.intake.Done():
			return
		case m := <-p.msgs:
			p.receive(m)
		case <-p.kick:
			p.paused = false
		case <-p.again.C:
			if p.parked {
				p.w.consumersMissing() // or the desk was away: the broker has a word for every pull that it hears of
			}
			p.parked, p.paused = false, false
		}
	}
}

func (p *puller) pull(used int) {
	p.number++
	request := fmt.Sprintf(`{"batch":1,"expires":%d}`, pullLife.Nanoseconds())
	if p.group {
		request = fmt.Sprintf(`{"batch":1,"expires":%d,"group":%q,"priority":%d}`, pullLife.Nanoseconds(), pullGroup, used)
	}
	subject := p.w.toBroker(pullSubject(p.consumer))
	if err := p.w.nc.PublishRequest(subject, p.inbox+"."+strconv.Itoa(p.number), []byte(request)); err != nil {
		p.pause(pullPause)
		return
	}
	p.parked = true
	p.again.Reset(pullLife + pullGrace)
}

func (p *puller) pause(d time.Duration) {
	p.parked, p.paused = false, true
	p.again.Reset(d)
}

// receive takes a ticket, or the broker's word on why there is none. Only that word comes on the inbox's subject and
// tells which pull it is about.
func (p *puller) receive(m *nats.Msg) {
	status := m.Header.Get("Status")
	if status == "" {
		p.parked = false
		p.w.offer(m)
		return
	}
	if !strings.HasSuffix(m.Subject, "."+strconv.Itoa(p.number)) {
		return
	}
	switch status {
	case "404", "408": // nothing came in time
		p.parked = false
	default: // the consumer is not there (503, 409), or moves
		p.w.log.Debug().Str("status", status).Str("consumer", p.consumer).Str("why", m.Header.Get("Description")).Msg("pull refused")
		p.w.consumersMissing()
		p.pause(pullPause)
	}
}

// close hands back what arrives too late.
func (p *puller) close() {
	p.again.Stop()
	_ = p.sub.Unsubscribe() // fails only when the connection is closed, and then it is gone too
	for {
		select {
		case m := <-p.msgs:
			if m.Header.Get("Status") == "" {
				p.w.offer(m)
			}
		default:
			return
		}
	}
}
