package upstream

// events hands the data of each event of a text/event-stream to a scanner, whatever
// pieces it comes in, and holds nothing of it. Lines end as the HTML standard says, with
// CR, LF or both (section 9.2.6).
type events struct {
	data  *scanner
	event func() // at the end of each event

	field   int  // bytes of "data:" seen at the begin of this line; -1: it is another field
	content bool // the line is not empty
	filled  bool // the event has data
	cr      bool // the last byte was CR
}

const dataField = "data:"

func (e *events) feed(p []byte) {
	begin := 0
	for i, c := range p {
		if c != '\n' && c != '\r' {
			continue
		}
		e.piece(p[begin:i])
		e.endLine(c)
		begin = i + 1
	}
	e.piece(p[begin:])
}

func (e *events) piece(p []byte) {
	if len(p) == 0 {
		return
	}
	e.content, e.cr = true, false
	for e.field >= 0 && e.field < len(dataField) && len(p) > 0 {
		if p[0] != dataField[e.field] {
			e.field = -1
			return
		}
		e.field++
		p = p[1:]
	}
	if e.field == len(dataField) {
		e.filled = true
		e.data.feed(p)
	}
}

func (e *events) endLine(c byte) {
	if c == '\n' && e.cr {
		e.cr = false
		return
	}
	e.cr = c == '\r'
	if !e.content {
		e.end()
	}
	e.content, e.field = false, 0
}

// end is the end of an event. A stream's last one may lack its empty line.
func (e *events) end() {
	if e.filled {
		e.event()
		e.data.reset()
	}
	e.filled = false
}
