package openai

// objectCut cuts the first JSON object out of a text that comes in pieces, so that
// fences and words around it stay away from the client while the object streams. A
// brace begins an object when a quote or the closing brace follows it. Whether what is
// cut out is JSON is for Format.Check to say.
type objectCut struct {
	opening         []byte // a brace and white space that may begin the object
	depth           int    // 0 before the object
	quoted, escaped bool
	ended           bool
}

// next returns what of the text's next piece belongs to the object.
func (c *objectCut) next(piece string) string {
	if c.ended {
		return ""
	}
	begin, opening := 0, ""
	if c.depth == 0 {
		if begin = c.find(piece); c.depth == 0 {
			return ""
		}
		opening, c.opening = string(c.opening), nil
	}
	return opening + piece[begin:c.through(piece, begin)]
}

// find looks for the object's begin. When it is there, depth is 1 and the result is
// where the text goes on behind opening.
func (c *objectCut) find(piece string) int {
	for i := range len(piece) {
		switch b := piece[i]; {
		case b == '{':
			c.opening = append(c.opening[:0], b)
		case len(c.opening) == 0:
		case b == '"' || b == '}':
			c.depth = 1
			return i
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			c.opening = append(c.opening, b)
		default:
			c.opening = c.opening[:0]
		}
	}
	return len(piece)
}

// through returns where the object's part of piece[from:] ends.
func (c *objectCut) through(piece string, from int) int {
	for i := from; i < len(piece); i++ {
		switch b := piece[i]; {
		case c.escaped:
			c.escaped = false
		case c.quoted && b == '\\':
			c.escaped = true
		case b == '"':
			c.quoted = !c.quoted
		case c.quoted:
		case b == '{':
			c.depth++
		case b == '}':
			if c.depth--; c.depth == 0 {
				c.ended = true
				return i + 1
			}
		}
	}
	return len(piece)
}
