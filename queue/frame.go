package queue

import (
	"encoding/binary"
	"errors"
)

// A frame is what a worker says about one attempt of a job. It has no headers, because they double the cost of parsing
// a message of 120 bytes:
//
//	version 1 | kind and flags | epoch uvarint | seq uvarint | rest
//
// The rest of a data frame is payloads, each with its length before it; the rest of an end is a packed endHeader.
type frame struct {
	kind    frameKind
	content bool // at least one payload counts as shown once a client has it
	partial bool // the last payload goes on in the next frame
	epoch   int
	seq     int // data: number of the frame, from 1; end: how many data frames there were
	rest    []byte
}

type frameKind byte

const (
	frameData frameKind = iota
	frameEnd            // a request, answered by one of the end answers
	frameLost           // frames that the owner asked for are not in the ring any more
)

const (
	frameVersion = 1
	flagContent  = 0x10
	flagPartial  = 0x20
	maxCounter   = 1 << 40
)

var errFrame = errors.New("malformed frame")

// appendFrameHead starts a frame in dst; its rest is appended by the caller.
func appendFrameHead(dst []byte, f frame) []byte {
	kind := byte(f.kind)
	if f.content {
		kind |= flagContent
	}
	if f.partial {
		kind |= flagPartial
	}
	dst = append(dst, frameVersion, kind)
	dst = binary.AppendUvarint(dst, uint64(f.epoch))
	return binary.AppendUvarint(dst, uint64(f.seq))
}

func appendPayload(dst, payload []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(payload))), payload...)
}

// parseFrame reads a frame; rest aliases data.
func parseFrame(data []byte) (frame, error) {
	if len(data) < 4 || data[0] != frameVersion {
		return frame{}, errFrame
	}
	f := frame{
		kind:    frameKind(data[1] & 0x0f),
		content: data[1]&flagContent != 0,
		partial: data[1]&flagPartial != 0,
	}
	if f.kind > frameLost {
		return frame{}, errFrame
	}
	var err error
	if f.epoch, data, err = counter(data[2:]); err != nil {
		return frame{}, err
	}
	if f.seq, f.rest, err = counter(data); err != nil {
		return frame{}, err
	}
	return f, nil
}

func counter(data []byte) (int, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 || v > maxCounter {
		return 0, nil, errFrame
	}
	return int(v), data[n:], nil
}

// payloads splits the rest of a data frame; the slices alias it.
func (f frame) payloads() ([][]byte, error) {
	var all [][]byte
	for rest := f.rest; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return nil, errFrame
		}
		end := n + int(size)
		all = append(all, rest[n:end:end])
		rest = rest[end:]
	}
	return all, nil
}
