package queue

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"maxrelay/queue/trust"
)

// Invitation is what one line of text says to a worker's machine: where the nodes are, how to know them, and who it is.
type Invitation struct {
	URLs   []string     `json:"u"` // host:port of nodes
	Anchor trust.Anchor `json:"a"`
	Name   string       `json:"w"`
	Secret string       `json:"s"`
}

const (
	invitationMark = "maxrelay-join-"
	maxInvitation  = 4 << 10
)

func (i Invitation) String() string {
	return invitationMark + base64.RawURLEncoding.EncodeToString(encode(i))
}

// ParseInvitation reads one. Its errors hold nothing of it.
func ParseInvitation(text string) (Invitation, error) {
	var i Invitation
	coded, ok := strings.CutPrefix(strings.TrimSpace(text), invitationMark)
	if !ok || len(coded) > maxInvitation {
		return i, fmt.Errorf("an invitation begins with %s and comes from `maxrelay worker add`", invitationMark)
	}
	raw, err := base64.RawURLEncoding.DecodeString(coded)
	if err != nil || json.Unmarshal(raw, &i) != nil {
		return Invitation{}, errors.New("the invitation is not whole: copy all of it")
	}
	if !isToken(i.Name) || i.Secret == "" || len(i.URLs) == 0 {
		return Invitation{}, errors.New("the invitation names no worker and no node")
	}
	return i, nil
}

// Credentials are a joined worker's, for its machine alone.
type Credentials struct {
	Name   string       `json:"name"`
	Pools  []string     `json:"pools"`
	URLs   []string     `json:"urls"`
	Anchor trust.Anchor `json:"anchor"`
	Seed   string       `json:"seed"` // of its nkey
}

// joined answers a worker that hands in its key.
type joined struct {
	Refused string   `json:"refused,omitempty"`
	Pools   []string `json:"pools,omitempty"`
	URLs    []string `json:"urls,omitempty"`
}

// Join uses an invitation: it makes a key, of which only the public half leaves this machine.
func Join(ctx context.Context, i Invitation) (Credentials, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return Credentials{}, fmt.Errorf("making a key: %w", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return Credentials{}, fmt.Errorf("making a key: %w", err)
	}
	seed, err := key.Seed()
	if err != nil {
		return Credentials{}, fmt.Errorf("making a key: %w", err)
	}
	t := &trial{timeout: joinWait}
	nc, err := nats.Connect(tlsURLs(i.URLs), nats.SetCustomDialer(t), nats.Name("join-"+i.Name), nats.Secure(i.Anchor.Client()), nats.Timeout(joinWait),
		nats.UserInfo(joinPrefix+i.Name, i.Secret), nats.CustomInboxPrefix(invitedInbox(i.Name)), nats.NoReconnect())
	if errors.Is(err, nats.ErrAuthorization) {
		return Credentials{}, errors.New("the invitation was used, has expired or was revoked: make another with `maxrelay worker add`")
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("reaching %s: %w", strings.Join(i.URLs, ", "), t.explain(err))
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	sum := sha256.Sum256([]byte(i.Secret))
	m, err := nc.RequestWithContext(ctx, joinSubject(i.Name, sum[:]), []byte(public))
	if err != nil {
		return Credentials{}, fmt.Errorf("joining: %w", err)
	}
	var reply joined
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return Credentials{}, errors.New("joining: the answer is not understood")
	}
	if reply.Refused != "" {
		return Credentials{}, fmt.Errorf("joining: %s", reply.Refused)
	}
	return Credentials{Name: i.Name, Pools: reply.Pools, URLs: merge(i.URLs, reply.URLs), Anchor: i.Anchor, Seed: string(seed)}, nil
}

const joinWait = 10 * time.Second

func merge(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

func tlsURLs(addresses []string) string {
	var urls []string
	for _, a := range addresses {
		urls = append(urls, "tls://"+a)
	}
	return strings.Join(urls, ",")
}

// Save writes the credentials for this user alone.
func (c Credentials) Save(path string) error {
	if err := writePrivate(path, encode(c)); err != nil {
		return fmt.Errorf("keeping the worker's credentials: %w", err)
	}
	return nil
}

// LoadCredentials reads what Save wrote. The error is fs.ErrNotExist where nobody has joined.
func LoadCredentials(path string) (Credentials, error) {
	var c Credentials
	data, err := readPrivate(path)
	if err != nil {
		return c, fmt.Errorf("the worker's credentials: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil || len(c.URLs) == 0 {
		return c, fmt.Errorf("the worker's credentials %s are broken: join again", path)
	}
	return c, nil
}
