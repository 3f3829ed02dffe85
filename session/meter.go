package session

import "maxrelay/session/chat"

// meter counts the tokens of a turn. The CLI may call the model more than once in it: the
// client sees the first message only, but what the others cost is counted too.
type meter struct {
	former chat.Usage // of calls that another one followed
	call   chat.Usage // of the latest call, as far as its events told
	told   chat.Usage // the CLI's own sum of all calls, from the result line
	begun  bool       // a call's events were seen
	open   bool       // the latest call's final counts are missing
	cut    bool       // a former call's are
}

func (m *meter) take(e *streamEvent) {
	switch e.Type {
	case chat.EventMessageStart:
		m.former, m.call = m.former.Plus(m.call), chat.Usage{}
		m.cut = m.cut || m.open
		m.begun, m.open = true, true
		e.Message.Usage.onto(&m.call)
	case chat.EventMessageDelta:
		e.Usage.onto(&m.call)
		if e.Delta.StopReason != "" { // not the CLI's own epilogue of a message that broke off
			m.open = false
		}
	}
}

// total is the larger of what was seen and what the CLI says, count by count. Claude Code
// 2.1.330 leaves a message that an error event ended out of its sum, and estimates the
// output of one that was interrupted.
func (m *meter) total() chat.Usage {
	u := m.former.Plus(m.call)
	return chat.Usage{
		InputTokens:      max(u.InputTokens, m.told.InputTokens),
		OutputTokens:     max(u.OutputTokens, m.told.OutputTokens),
		CacheReadTokens:  max(u.CacheReadTokens, m.told.CacheReadTokens),
		CacheWriteTokens: max(u.CacheWriteTokens, m.told.CacheWriteTokens),
		ThinkingTokens:   max(u.ThinkingTokens, m.told.ThinkingTokens),
	}
}

// final reports whether every call that was seen told its final counts.
func (m *meter) final() bool { return m.begun && !m.open && !m.cut }
