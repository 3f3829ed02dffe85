package api

import (
	"context"
	"errors"

	"maxrelay/api/limit"
)

// admit counts a request against its caller's limits and reserves what it may use. Its
// caller settles the ticket, whatever happens. What is asked of no model is not in it.
func (s *Server) admit(ctx context.Context, x *exchange, ask limit.Ask) (*limit.Ticket, error) {
	ask.Key, ask.Request, ask.Start = x.identity.ID, x.id, x.asked
	ask.Limits = s.limits.LimitsOf(x.identity)
	ticket, err := s.limits.Admit(ctx, ask)
	if err != nil {
		if r, over := errors.AsType[*limit.Refusal](err); over {
			s.meters.limited.Inc()
			r.SetHeaders(x.Header())
		}
		return nil, err
	}
	ticket.SetHeaders(x.Header())
	return ticket, nil
}

// settle ends a ticket with what its request used. What the broker does not hear now it
// is told when it is back.
func (s *Server) settle(ctx context.Context, x *exchange, ticket *limit.Ticket, used int) {
	if err := ticket.Settle(ctx, int64(used)); err != nil {
		s.log.Warn().Err(err).Str("request", x.label).Msg("tokens are settled later")
	}
}

// stand tells the client how its key stands now.
func (s *Server) stand(x *exchange) {
	s.limits.Standing(x.identity.ID, s.limits.LimitsOf(x.identity)).SetHeaders(x.Header())
}
