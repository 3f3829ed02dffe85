package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// abandonedWait is longer than an election takes, 4 to 9 s.
	abandonedWait = 10 * time.Second

	// deleteWait is for an answer that the leader of the stream would give: there is none, so mostly none comes.
	deleteWait = 300 * time.Millisecond
)

// incarnation is a stream until it is deleted.
type incarnation struct {
	name    string
	created time.Time
}

// abandoned are streams in memory that nobody will lead any more.
//
// A node that restarts has nothing of such a stream, and has no vote until a leader has told it all (nats-server 2.15.2).
// When most nodes restarted and not all are back, as after a power cut that one of them does not survive, there are not
// enough votes, however many nodes run. What was in the stream is gone then: tickets, which their owners have, rates and
// marks. It is made anew with one copy, since the broker makes none that it has too few nodes for; the next node that
// starts spreads it.
type abandoned struct {
	since map[incarnation]time.Time       // when each was first seen without a leader
	anew  map[string]*server.StreamConfig // deleted, and to be made
}

// look adds to anew what has had no leader for abandonedWait, and returns its names.
func (a *abandoned) look(info *server.JSInfo, now time.Time) (names []string) {
	leaderless := make(map[incarnation]time.Time)
	for _, account := range info.AccountDetails {
		for _, s := range account.Streams {
			if s.Config == nil || s.Config.Storage != server.MemoryStorage || s.Cluster == nil || s.Cluster.Leader != "" {
				continue
			}
			id := incarnation{s.Name, s.Created}
			since, seen := a.since[id]
			if !seen {
				since = now
			}
			leaderless[id] = since
			if now.Sub(since) >= abandonedWait {
				names = append(names, s.Name)
				a.anew[s.Name] = s.Config
			}
		}
	}
	a.since = leaderless
	return names
}

// giveUp deletes what is abandoned and makes it anew. The nodes agree on a deletion without the stream's own leader.
func (b *Broker) giveUp(ctx context.Context, js jetstream.JetStream, a *abandoned) {
	info, err := b.srv.Jsz(&server.JSzOptions{Account: relayAccount, Streams: true, Config: true})
	if err != nil || info.Meta == nil || info.Meta.Leader == "" {
		return // not even a cluster yet
	}
	for _, name := range a.look(info, time.Now()) {
		b.log.Warn().Str("stream", name).Int("other_nodes", b.peers()).Msg("a stream in memory is known to too few nodes, and is made anew")
		once, cancel := context.WithTimeout(ctx, deleteWait)
		_ = js.DeleteStream(once, name) // the next look tells whether it is gone
		cancel()
	}
	for name, cfg := range a.anew {
		if err := makeAlone(ctx, js, cfg); err != nil {
			b.log.Debug().Err(err).Str("stream", name).Msg("not made anew yet")
			continue
		}
		delete(a.anew, name)
	}
}

// makeAlone makes a stream of which there is one copy.
func makeAlone(ctx context.Context, js jetstream.JetStream, old *server.StreamConfig) error {
	data, err := json.Marshal(old)
	if err != nil {
		return err
	}
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(data, &cfg); err != nil {
		return err
	}
	cfg.Replicas, cfg.Metadata = 1, nil
	_, err = js.CreateStream(ctx, cfg)
	return err
}

// tooFewNodes tells whether a stream cannot have its copies because nodes are missing. One that is there is used as it is.
func tooFewNodes(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	return ok && refused.ErrorCode == jetstream.ErrorCode(server.JSClusterNoPeersErrF)
}
