package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// errNotRewound is fatal for a process: after a refused rewind nobody knows what it
// holds.
var errNotRewound = errors.New("the CLI did not rewind")

// cut rewinds the conversation so that its first keep messages are left.
func (s *session) cut(t *turn, keep int) error {
	if err := s.rewind(t, s.rec.entries[keep].uuid, s.rec.newestUser(), keep); err != nil {
		return err
	}
	s.rec.keep(keep)
	return nil
}

// rewind cuts at the user line target; newest is the newest user line. keep is how
// many messages must be left: with none, nothing may stand before the line, and with
// some, the last of them is an answer.
func (s *session) rewind(t *turn, target, newest string, keep int) error {
	var in input
	id, err := in.request("rewind_conversation", map[string]any{
		"target_message_uuid": target, "last_seen_user_message_uuid": newest})
	if err != nil {
		return err
	}
	if keep == 0 {
		s.conversations++
	}
	ctx, stop := context.WithTimeout(context.Background(), interruptGrace)
	defer stop()
	if err := s.write(ctx, &in); err != nil {
		return err
	}
	for {
		l, err := t.next(ctx, interruptGrace)
		if err != nil {
			return err
		}
		if l.Type == "control_response" && l.Response.RequestID == id {
			return checkRewound(l.Response, keep)
		}
	}
}

func checkRewound(r controlResponse, keep int) error {
	var reply struct {
		Rewound            bool    `json:"rewound"`
		Reason             string  `json:"reason"`
		PrecedingAssistant *string `json:"precedingAssistantUuid"`
	}
	if r.Subtype != "success" {
		return errNotRewound
	}
	if err := json.Unmarshal(r.Response, &reply); err != nil {
		return fmt.Errorf("%w: unreadable answer", errNotRewound)
	}
	if !reply.Rewound {
		return fmt.Errorf("%w: %s", errNotRewound, reply.Reason)
	}
	if left := reply.PrecedingAssistant != nil; left != (keep > 0) {
		return fmt.Errorf("%w to where %d messages are left", errNotRewound, keep)
	}
	return nil
}

// cancelledBeforeStart reports whether an interrupt's answer says that the line with
// this uuid was taken back before the model was asked.
func cancelledBeforeStart(r controlResponse, uuid string) bool {
	var reply struct {
		Cancelled []string `json:"cancelled"`
	}
	return json.Unmarshal(r.Response, &reply) == nil && slices.Contains(reply.Cancelled, uuid)
}
