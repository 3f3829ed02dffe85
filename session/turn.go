package session

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// The ways a conversation with a process breaks off.
var (
	errDied    = errors.New("the CLI process ended")
	errGarbage = errors.New("the CLI wrote a line that is not JSON")
	errSilent  = errors.New("the CLI said nothing")
	errStalled = errors.New("the model said nothing in time")
	errTooLong = errors.New("the answer took longer than a turn may take")
	errRefused = errors.New("the CLI refused a control request")
)

// turn is one question put to one process. Its fields belong to the goroutine that
// runs it.
type turn struct {
	s    *session
	cfg  *Config
	req  *chat.Request
	plan plan
	emit func(chat.Event)

	fitted fitted // the pictures that are going to be written

	timer *time.Timer
	due   time.Time // when the turn must be over: TurnTimeout after its start, or soon after an interrupt

	pending map[string]string // control requests not yet answered: id → what
	asked   string            // uuid of the line that the model is to answer
	askedAt time.Time         // when it was written

	starts      int               // message_start events seen; only the first message counts
	closed      bool              // the first message is whole
	broken      bool              // it broke off, and the CLI knows
	stop        chat.StopReason   // why the first message stopped
	withheld    map[int]bool      // blocks the client must not see
	text        strings.Builder   // the first message's text
	calls       []*call           // its calls of the client's tools
	calling     *call             // the one that is being told
	telling     bool              // a block is
	cut         cutter            // of its text
	held        strings.Builder   // the texts that the CLI took into its history
	heldCalls   []json.RawMessage // and the arguments of the calls
	interrupted bool
	meter       meter
	upstream    string
	notice      notice    // what the CLI said in the model's place
	limit       rateLimit // the latest the CLI said of its account
}

func newTurn(s *session, cfg *Config, req *chat.Request, p plan, emit func(chat.Event)) *turn {
	t := &turn{s: s, cfg: cfg, req: req, plan: p, emit: emit,
		timer: time.NewTimer(time.Hour), due: time.Now().Add(cfg.TurnTimeout),
		pending: make(map[string]string)}
	if req != nil {
		t.cut.stops = req.Params.BlankStop
	}
	t.timer.Stop()
	return t
}

// run plays the turn to its end and leaves the session holding exactly its record, or
// dead. The error says for the operator what the outcome's tells the client.
func (t *turn) run(ctx context.Context) (chat.Outcome, error) {
	defer t.timer.Stop()
	kind := t.plan.kind()
	t.emit(chat.Event{Type: chat.EventTurn, Session: kind})
	if err := t.fit(ctx); err != nil { // nothing is written: the process is as it was
		return chat.Outcome{Session: kind, Error: explain(ctx, err)}, err
	}
	err := t.prepare(ctx)
	if err == nil {
		t.askedAt = time.Now()
		err = t.converse(ctx)
	} else {
		t.s.kill() // what it holds is not known
	}
	return chat.Outcome{Session: kind, Upstream: t.upstream, Usage: t.meter.total(), Counted: t.meter.final(), Error: explain(ctx, err)}, err
}

// prepare makes the process hold all but the last message, and asks the last one.
func (t *turn) prepare(ctx context.Context) error {
	in := input{fitted: t.fitted}
	if t.s.fresh {
		if err := t.introduce(&in); err != nil {
			return err
		}
	} else if t.plan.cut {
		if err := t.s.cut(t, t.plan.keep); err != nil {
			return err
		}
	}
	if err := errors.Join(t.adjust(&in), t.offer(&in)); err != nil {
		return err
	}
	last := len(t.req.Messages) - 1
	for _, m := range t.req.Messages[t.plan.keep:last] {
		if err := t.tell(ctx, &in, m); err != nil {
			return err
		}
	}
	var err error
	if t.asked, err = in.ask(t.req.Messages[last]); err != nil {
		return err
	}
	return t.s.write(ctx, &in)
}

// introduce makes a spare a session: the identity is set with what can be set once.
func (t *turn) introduce(in *input) error {
	id, err := in.initialize(t.req.System)
	if err != nil {
		return err
	}
	t.pending[id] = "initialize"
	t.s.fresh = false
	if t.req.Model == t.cfg.Model {
		return nil
	}
	id, err = in.request("set_model", map[string]any{"model": t.req.Model})
	t.pending[id] = "set_model"
	return err
}

// tell replays one message. The CLI queues user lines but applies assistant lines at
// once, so an assistant line is written only after the result of the user line before
// it; it may share a write with the user line after it.
func (t *turn) tell(ctx context.Context, in *input, m chat.Message) error {
	if m.Role == chat.RoleAssistant {
		t.s.rec.add(m, "")
		return in.assistant(m)
	}
	id, err := in.tell(m)
	if err != nil {
		return err
	}
	if err := t.s.write(ctx, in); err != nil {
		return err
	}
	in.buf.Reset()
	for {
		l, err := t.next(ctx, t.cfg.StartTimeout)
		if err != nil {
			return err
		}
		if l.Type == "result" && l.UserMessageUUID == id {
			t.s.rec.add(m, id)
			return nil
		}
	}
}

// converse streams the answer and settles what the process holds afterwards. Once
// the answer's end was shown, a client that leaves changes nothing any more.
func (t *turn) converse(ctx context.Context) error {
	for {
		if t.stop != "" {
			ctx = context.WithoutCancel(ctx)
		}
		l, err := t.next(ctx, t.patience())
		if err != nil {
			return t.breakOff(ctx, err)
		}
		switch l.Type {
		case "stream_event":
			err = t.event(&l.Event)
		case "assistant":
			t.heard(l)
		case "result":
			if l.UserMessageUUID == t.asked {
				return t.settle(l.result)
			}
		}
		if err != nil {
			return t.breakOff(ctx, err)
		}
	}
}

// patience is how long the next line may take.
func (t *turn) patience() time.Duration {
	d := t.cfg.IdleTimeout
	switch {
	case t.stop != "", len(t.pending) > 0: // it waits for nobody
		d = t.cfg.StartTimeout
	case t.starts == 0:
		d = t.cfg.FirstByteTimeout
	}
	return min(d, time.Until(t.due))
}

// settle ends a turn whose result line has come: the process keeps a whole answer and
// is cut back to what it held before for anything else.
func (t *turn) settle(r result) error {
	t.meter.told = r.usage()
	if said, ok := t.said(); ok && t.whole(r) {
		t.s.rec.add(t.req.Messages[len(t.req.Messages)-1], t.asked)
		t.s.rec.add(said, "")
		return nil
	}
	if err := t.undo(); err != nil {
		t.s.kill()
	}
	if t.stop != "" { // the client has a whole answer, whatever came after it
		return nil
	}
	e := classify(r, t.notice, t.limit)
	if e.Code == chat.CodeUsageLimit { // which the CLI may tell in words alone
		r := reached(t.notice, t.limit)
		t.cfg.Limits(Limits{Reached: &r})
	}
	return e
}
