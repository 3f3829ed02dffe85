package queue

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Disconnect names a client connection that the broker saw end, a few milliseconds after a process died.
type Disconnect struct {
	Server string // server id
	Client uint64 // client id on that server

	// Evicted says that the server ended it because it stops itself: the client lives and goes to another node.
	Evicted bool
}

// disconnectBacklog is how many events may wait for a slow reader. More are dropped: silence tells the same, later.
const disconnectBacklog = 256

// Disconnects returns a new channel of the connections that end, or nil with an existing server, whose system account
// is not ours to read. The channel is never closed.
func (b *Broker) Disconnects() <-chan Disconnect {
	if b.srv == nil {
		return nil
	}
	ch := make(chan Disconnect, disconnectBacklog)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners = append(b.listeners, ch)
	return ch
}

func (b *Broker) watchDisconnects() error {
	opts := append(connOptions("system", b.log), nats.InProcessServer(b.srv), nats.UserInfo(systemUser, b.secret))
	sys, err := nats.Connect("", opts...)
	if err != nil {
		return fmt.Errorf("connecting to the system account: %w", err)
	}
	b.sys = sys
	_, err = sys.Subscribe("$SYS.ACCOUNT."+relayAccount+".DISCONNECT", func(m *nats.Msg) {
		if d, ok := parseDisconnect(m.Data); ok {
			if d.Server == b.srv.ID() {
				b.gate.left(d.Client)
			}
			b.tell(d)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribing to disconnects: %w", err)
	}
	return sys.Flush()
}

func parseDisconnect(data []byte) (Disconnect, bool) {
	var event struct {
		Server struct {
			ID string `json:"id"`
		} `json:"server"`
		Client struct {
			ID uint64 `json:"id"`
		} `json:"client"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal(data, &event) != nil || event.Client.ID == 0 {
		return Disconnect{}, false
	}
	return Disconnect{event.Server.ID, event.Client.ID, event.Reason == server.ServerShutdown.String()}, true
}

func (b *Broker) tell(d Disconnect) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ch := range b.listeners {
		select {
		case ch <- d:
		default:
		}
	}
}
