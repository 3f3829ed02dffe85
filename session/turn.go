package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// interruptGrace is how long an interrupted turn may take to end, and a rewind to be
// answered; it takes 4–12 ms.
const interruptGrace = time.Second

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

	timer *time.Timer
	due   time.Time // when the turn must be over: TurnTimeout after its start, or soon after an interrupt

	pending map[string]string // control requests not yet answered: id → what
	asked   string            // uuid of the line that the model is to answer

	starts      int             // message_start events seen; only the first message counts
	closed      bool            // the first message is whole
	stop        chat.StopReason // why the first message stopped
	withheld    map[int]bool    // blocks the client must not see
	text        strings.Builder // the first message's text
	interrupted bool
	usage       chat.Usage
	counted     bool
	upstream    string
	failure     string    // class of the CLI's synthetic error message
	limit       rateLimit // the latest the CLI said of its account
}

func newTurn(s *session, cfg *Config, req *chat.Request, p plan, emit func(chat.Event)) *turn {
	t := &turn{s: s, cfg: cfg, req: req, plan: p, emit: emit,
		timer: time.NewTimer(time.Hour), due: time.Now().Add(cfg.TurnTimeout),
		pending: make(map[string]string)}
	t.timer.Stop()
	return t
}

// run plays the turn to its end and leaves the session holding exactly its record, or
// dead. The error says for the operator what the outcome's tells the client.
func (t *turn) run(ctx context.Context) (chat.Outcome, error) {
	defer t.timer.Stop()
	kind := t.plan.kind(t.s.fresh)
	t.emit(chat.Event{Type: chat.EventTurn, Session: kind})
	err := t.prepare(ctx)
	if err == nil {
		err = t.converse(ctx)
	} else {
		t.s.kill() // what it holds is not known
	}
	return chat.Outcome{Session: kind, Upstream: t.upstream, Usage: t.usage, Counted: t.counted, Error: explain(ctx, err)}, err
}

// prepare makes the process hold all but the last message, and asks the last one.
func (t *turn) prepare(ctx context.Context) error {
	var in input
	if t.s.fresh {
		if err := t.introduce(&in); err != nil {
			return err
		}
	} else if t.plan.cut {
		if err := t.s.cut(t, t.plan.keep); err != nil {
			return err
		}
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
			if l.Message.Model == "<synthetic>" {
				t.failure = l.Error
			}
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

// breakOff ends a turn whose result line did not come. The process is kept only when
// nothing is wrong with it: the client left, or the model is slow. Whatever happens
// behind a whole answer is no failure of the client's.
func (t *turn) breakOff(ctx context.Context, err error) error {
	slow := errors.Is(err, errSilent) && len(t.pending) == 0 && !t.interrupted && t.stop == ""
	switch {
	case slow && !time.Now().Before(t.due):
		return errors.Join(errTooLong, t.abort())
	case slow:
		return errors.Join(errStalled, t.abort())
	case errors.Is(err, context.Cause(ctx)):
		return errors.Join(err, t.abort())
	}
	t.s.kill()
	if t.closed {
		return nil
	}
	return err
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

// event takes one event of the model's. Everything after the first message is hidden:
// the CLI started it on its own (a continuation, an answer to a tool that is not
// there), and the client asked for one answer.
func (t *turn) event(e *streamEvent) error {
	if e.Type == chat.EventMessageStart {
		if t.starts++; t.starts > 1 {
			return t.interrupt()
		}
	}
	if t.starts != 1 || t.closed {
		return nil
	}
	switch e.Type {
	case chat.EventMessageStart:
		t.begin(e)
	case chat.EventBlockStart:
		t.startBlock(e)
	case chat.EventBlockDelta:
		t.delta(e)
	case chat.EventBlockStop:
		t.show(chat.Event{Type: e.Type, Index: e.Index})
	case chat.EventMessageDelta:
		return t.stopMessage(e)
	case chat.EventMessageStop:
		if t.stop == "" {
			return nil // of the same epilogue
		}
		t.closed = true
		t.emit(chat.Event{Type: e.Type})
	}
	return nil
}

func (t *turn) begin(e *streamEvent) {
	t.upstream = e.Message.Model
	e.Message.Usage.onto(&t.usage)
	u := t.usage
	t.emit(chat.Event{Type: e.Type, Model: t.upstream, Usage: &u})
}

// startBlock withholds calls of tools, none of which were offered, and kinds of blocks
// that this program does not know.
func (t *turn) startBlock(e *streamEvent) {
	switch e.ContentBlock.Type {
	case chat.BlockText, chat.BlockThinking:
	default:
		if t.withheld == nil {
			t.withheld = make(map[int]bool)
		}
		t.withheld[e.Index] = true
	}
	t.text.WriteString(e.ContentBlock.Text)
	b := e.ContentBlock
	t.show(chat.Event{Type: e.Type, Index: e.Index, Block: &b})
}

func (t *turn) delta(e *streamEvent) {
	t.text.WriteString(e.Delta.Text)
	t.show(chat.Event{Type: e.Type, Index: e.Index, Text: e.Delta.Text, Thinking: e.Delta.Thinking,
		Signature: e.Delta.Signature, PartialJSON: e.Delta.PartialJSON})
}

func (t *turn) show(e chat.Event) {
	if !t.withheld[e.Index] {
		t.emit(e)
	}
}

// stopMessage ends the first message. Where the CLI would go on by itself (a cut or
// blank answer, a refusal, a call that nobody answers) it is interrupted at once.
func (t *turn) stopMessage(e *streamEvent) error {
	e.Usage.onto(&t.usage)
	if e.Delta.StopReason == "" {
		return nil // the CLI's own epilogue of a message that broke off
	}
	t.stop, t.counted = e.Delta.StopReason, true
	if t.stop == chat.StopToolUse {
		t.stop = chat.StopEndTurn // of what is left of it
	}
	u := t.usage
	t.emit(chat.Event{Type: e.Type, StopReason: t.stop, StopSequence: e.Delta.StopSequence, Usage: &u})
	ended := t.stop == chat.StopEndTurn || t.stop == chat.StopSequence
	if ended && len(t.withheld) == 0 && !blank(t.text.String()) {
		return nil
	}
	return t.interrupt()
}

// settle ends a turn whose result line has come: the process keeps a whole answer and
// is cut back to what it held before for anything else.
func (t *turn) settle(r result) error {
	answer := t.text.String()
	whole := t.closed && t.starts == 1 && !t.interrupted && !r.IsError && !blank(answer)
	if whole {
		t.s.rec.add(t.req.Messages[len(t.req.Messages)-1], t.asked)
		t.s.rec.add(chat.Text(chat.RoleAssistant, answer), "")
		return nil
	}
	if err := t.undo(); err != nil {
		t.s.kill()
	}
	if t.stop != "" { // the client has a whole answer, whatever came after it
		return nil
	}
	return classify(r, t.failure, t.limit)
}

func blank(text string) bool { return strings.TrimSpace(text) == "" }

// abort stops the answer: the client left, or the model fell silent. After it the
// process holds what it held before the turn, or is dead.
func (t *turn) abort() error {
	err := t.cancel()
	if err != nil {
		t.s.kill()
	}
	return err
}

func (t *turn) cancel() error {
	if err := t.interrupt(); err != nil {
		return err
	}
	ctx, stop := context.WithDeadline(context.Background(), t.due)
	defer stop()
	takenBack := false
	for {
		l, err := t.next(ctx, interruptGrace)
		if err != nil {
			return err
		}
		switch l.Type {
		case "stream_event":
			l.Event.Message.Usage.onto(&t.usage)
			l.Event.Usage.onto(&t.usage)
		case "control_response":
			takenBack = takenBack || cancelledBeforeStart(l.Response, t.asked)
			if takenBack && len(t.pending) == 0 {
				return nil // the line was never taken up: no result, nothing to undo
			}
		case "result":
			if l.UserMessageUUID == t.asked {
				return t.undo()
			}
		}
	}
}

// interrupt asks the CLI, once, to end the turn. cancel_queued also takes back a line
// that it has not taken up yet; without it such a line would still run.
func (t *turn) interrupt() error {
	if t.interrupted {
		return nil
	}
	t.interrupted, t.due = true, time.Now().Add(interruptGrace)
	var in input
	if _, err := in.request("interrupt", map[string]any{"cancel_queued": true}); err != nil {
		return err
	}
	ctx, stop := context.WithDeadline(context.Background(), t.due)
	defer stop()
	return t.s.write(ctx, &in)
}

// undo takes the asked line, and all that followed, out of the process. A line with
// tool results is no place to cut, so the cut is made at the nearest one before it;
// the next turn's plan replays what that took away.
func (t *turn) undo() error {
	if !holds(t.req.Messages[len(t.req.Messages)-1], chat.BlockToolResult) {
		return t.s.rewind(t, t.asked, t.asked, len(t.s.rec.entries))
	}
	keep, ok := t.s.rec.cutAt(len(t.s.rec.entries) - 1)
	if !ok {
		return fmt.Errorf("no line to cut at")
	}
	if err := t.s.rewind(t, t.s.rec.entries[keep].uuid, t.asked, keep); err != nil {
		return err
	}
	t.s.rec.keep(keep)
	return nil
}

// next returns the child's next line, at most d from now. It answers the requests
// that the CLI makes on the way, and checks the answers to ours.
func (t *turn) next(ctx context.Context, d time.Duration) (*line, error) {
	t.timer.Reset(max(d, 0))
	for {
		select {
		case l, open := <-t.s.lines:
			if !open {
				return nil, errDied
			}
			handled, err := t.housekeep(ctx, l)
			if err != nil || !handled {
				return l, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-t.timer.C:
			return nil, errSilent
		}
	}
}

// housekeep serves what any phase of a turn may meet. handled lines are of no further
// interest to the phase.
func (t *turn) housekeep(ctx context.Context, l *line) (handled bool, err error) {
	switch l.Type {
	case typeGarbage:
		return true, errGarbage
	case "control_request":
		return true, t.serve(ctx, l)
	case "rate_limit_event":
		t.limit = l.RateLimit
		return true, nil
	case "control_response":
		what, ours := t.pending[l.Response.RequestID]
		delete(t.pending, l.Response.RequestID)
		if ours && l.Response.Subtype != "success" {
			return true, fmt.Errorf("%w: %s", errRefused, what)
		}
		return false, nil
	case "stream_event", "assistant", "result":
		return false, nil
	}
	return true, nil // status, lifecycle and kinds not known to this program
}

// serve answers the CLI. Tools never run here: a call is deferred, which ends the turn.
func (t *turn) serve(ctx context.Context, l *line) error {
	var in input
	var err error
	if l.Request.Subtype == "hook_callback" {
		err = in.respond(l.RequestID, map[string]any{"hookSpecificOutput": map[string]any{
			"hookEventName": "PreToolUse", "permissionDecision": "defer"}})
	} else {
		err = in.refuse(l.RequestID, "not served here")
	}
	if err != nil {
		return err
	}
	return t.s.write(ctx, &in)
}
