package queue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ticket is what waits on JOBS: where to ask for a job, and nothing of what the client sent.
type ticket struct {
	V        int    `json:"v"`
	Job      string `json:"job"`
	Place    int    `json:"place"`
	Node     string `json:"node"`
	Key      string `json:"key"`
	Pool     string `json:"pool"`
	Model    string `json:"model,omitempty"`
	Deadline int64  `json:"deadline,omitempty"` // Unix milliseconds, for people who look at the stream
	Size     int    `json:"size"`
}

func parseTicket(data []byte) (ticket, error) {
	var t ticket
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("ticket: %w", err)
	}
	if t.V != wireVersion || !isToken(t.Job) || !isToken(t.Node) || !isToken(t.Pool) || !isToken(t.Key) {
		return t, errors.New("ticket: not of this version")
	}
	return t, nil
}

const wireVersion = 1

// claim asks for a job. The nonce lets a worker ask again when the answer was lost.
type claim struct {
	Job   string `json:"job"`
	Place int    `json:"place"`
	Nonce string `json:"nonce"`

	Direct bool `json:"direct,omitempty"` // the ticket was brought by its owner and not pulled
}

// answer to a claim.
type answer string

const (
	answerGo        answer = "go"
	answerGone      answer = "gone"      // nobody waits for it any more
	answerClaimed   answer = "claimed"   // another claim was first
	answerStale     answer = "stale"     // the ticket was replaced
	answerElsewhere answer = "elsewhere" // this worker already failed it
)

// grant is the head of an answer to a claim; a small body follows it in the same message.
type grant struct {
	Answer   answer `json:"answer"`
	Epoch    int    `json:"epoch,omitempty"`
	Size     int    `json:"size,omitempty"`
	SHA256   []byte `json:"sha256,omitempty"`    // set when the body is to be fetched in chunks
	LeftMS   int64  `json:"left_ms,omitempty"`   // till the deadline; an interval, because clocks of machines differ
	WaitedMS int64  `json:"waited_ms,omitempty"` // from submit to this grant
}

// Bodies up to inlineBody come with the grant. Larger ones are fetched in chunks, so that one of them does not hold up
// the tokens of others on the same connection.
const (
	inlineBody = 256 << 10
	bodyChunk  = 256 << 10
	bodyWindow = 4
)

type chunkRequest struct {
	Job   string `json:"job"`
	Epoch int    `json:"epoch"`
	Index int    `json:"i"`
}

// attempt names one granted claim.
type attempt struct {
	Job   string `json:"j"`
	Epoch int    `json:"e"`
}

type aliveRequest struct {
	Running []attempt `json:"running"`
	Frames  []int     `json:"frames,omitempty"` // how many each of them has sent
	Back    bool      `json:"back,omitempty"`   // the connection is a new one: what is missing was lost with the former
}

type aliveReply struct {
	Gone []attempt `json:"gone,omitempty"` // not wanted any more
}

// order is what an owner tells a worker about an attempt.
type order struct {
	Job   string `json:"job"`
	Epoch int    `json:"epoch"`
	From  int    `json:"from,omitempty"` // resend: the first frame that is missing
}

// endHeader is an End without its data.
type endHeader struct {
	OK           bool      `json:"ok"`
	Retry        RetryKind `json:"retry,omitempty"`
	RetryAfterMS int64     `json:"retry_after_ms,omitempty"`

	// Directory is the last update that the worker sent before: the owner takes the end after it, so that a client that
	// asks again at once is led to the process that now holds its conversation. 0: it does not matter.
	Directory uint64 `json:"dir,omitempty"`

	// Rest is the worker's, so that the job is not given to it again before its heartbeat comes.
	Rest []restWire `json:"rest,omitempty"`
}

// endReply answers an end.
type endReply struct {
	Answer endAnswer `json:"answer"`
	From   int       `json:"from,omitempty"`
}

type endAnswer string

const (
	endOK    endAnswer = "ok"
	endNeed  endAnswer = "need"  // frames are missing, the first is From; send them and the end again
	endSoon  endAnswer = "soon"  // the directory is behind; send the end again in a moment
	endStale endAnswer = "stale" // not the current attempt, or not a job of this owner
)

// presence is a worker's hello and its heartbeat: the same message, so that a lost one costs nothing.
type presence struct {
	V         int             `json:"v"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Pools     []string        `json:"pools"`
	Slots     int             `json:"slots"`
	Busy      int             `json:"busy"`
	Use       float64         `json:"use,omitempty"` // of its account, 0 to 1
	Rest      []restWire      `json:"rest,omitempty"`
	Draining  bool            `json:"draining,omitempty"`
	Hello     bool            `json:"hello,omitempty"` // it waits for a welcome: its consumers may be missing
	Version   string          `json:"version,omitempty"`
	Info      json.RawMessage `json:"info,omitempty"`
	Server    string          `json:"server,omitempty"` // with Client, the connection whose end means this worker
	Client    uint64          `json:"client,omitempty"`
	Directory uint64          `json:"dir"` // the last directory update it sent
}

func parsePresence(data []byte) (presence, error) {
	var p presence
	if len(data) > maxPresence {
		return p, errors.New("presence: too large")
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("presence: %w", err)
	}
	if p.V != wireVersion || !isToken(p.ID) || p.Slots < 0 || p.Slots > maxSlots || p.Busy < 0 || p.Busy > maxSlots || p.Use < 0 || p.Use > 1 || len(p.Pools) > maxPools {
		return p, errors.New("presence: not of this version")
	}
	for _, pool := range p.Pools {
		if !isToken(pool) {
			return p, errors.New("presence: pool is not a token")
		}
	}
	return p, nil
}

const (
	maxPools    = 64
	maxSlots    = 1 << 20
	maxPresence = 64 << 10 // an owner keeps one of each worker
)

// pack puts a body behind a JSON header, without the cost of base64.
func pack(header any, body []byte) []byte {
	head, err := json.Marshal(header)
	if err != nil {
		panic("queue: header cannot be marshalled: " + err.Error())
	}
	out := make([]byte, 0, binary.MaxVarintLen32+len(head)+len(body))
	out = binary.AppendUvarint(out, uint64(len(head)))
	return append(append(out, head...), body...)
}

// unpack is the reverse; body aliases data.
func unpack(data []byte, header any) (body []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, errors.New("malformed envelope")
	}
	end := n + int(size)
	if err := json.Unmarshal(data[n:end], header); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return data[end:], nil
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("queue: message cannot be marshalled: " + err.Error())
	}
	return data
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
