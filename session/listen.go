package session

import (
	"context"
	"fmt"
	"time"
)

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
		return false, t.serve(ctx, l)
	case "rate_limit_event":
		t.limit = l.RateLimit
		t.cfg.Limits(t.limit.limits())
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
	case "system":
		if l.Subtype == "init" && t.s.watchInit.Load() {
			return true, t.checkOffer(l.Tools)
		}
	}
	return true, nil // status, lifecycle and kinds not known to this program
}

// serve answers the CLI. Tools never run here: a call is deferred, which ends the turn.
func (t *turn) serve(ctx context.Context, l *line) error {
	var in input
	var err error
	switch l.Request.Subtype {
	case "hook_callback":
		err = in.respond(l.RequestID, map[string]any{"hookSpecificOutput": map[string]any{
			"hookEventName": "PreToolUse", "permissionDecision": "defer"}})
	case "mcp_message":
		err = t.answerMCP(&in, l)
	default:
		err = in.refuse(l.RequestID, "not served here")
	}
	if err != nil {
		return err
	}
	return t.s.write(ctx, &in)
}
