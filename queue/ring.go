package queue

// ring keeps the last frames of a task, up to limit bytes, for an owner that missed some. The last one is always kept.
type ring struct {
	limit  int
	first  int // number of frames[0]
	bytes  int
	frames [][]byte
}

func (r *ring) add(seq int, data []byte) {
	if len(r.frames) == 0 {
		r.first = seq
	}
	r.frames = append(r.frames, data)
	r.bytes += len(data)
	for r.bytes > r.limit && len(r.frames) > 1 {
		r.bytes -= len(r.frames[0])
		r.frames[0] = nil
		r.frames = r.frames[1:]
		r.first++
	}
}

// since returns the frames from number seq on; false when some of them are gone or never were.
func (r *ring) since(seq int) ([][]byte, bool) {
	if len(r.frames) == 0 || seq < r.first || seq > r.first+len(r.frames) {
		return nil, false
	}
	return r.frames[seq-r.first:], true
}
