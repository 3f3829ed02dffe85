package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maxrelay/session/chat"
)

// interruptGrace is how long an interrupted turn may take to end, and a rewind to be
// answered; it takes 4–12 ms.
const interruptGrace = time.Second

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
		if takenBack && len(t.pending) == 0 && !t.s.tools.awaited {
			return nil // the line was never taken up: no result, nothing to undo
		}
		l, err := t.next(ctx, interruptGrace)
		if err != nil {
			return err
		}
		switch l.Type {
		case "stream_event":
			t.meter.take(&l.Event)
		case "control_response":
			takenBack = takenBack || cancelledBeforeStart(l.Response, t.asked)
		case "result":
			if l.UserMessageUUID == t.asked {
				t.meter.told = l.result.usage()
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
