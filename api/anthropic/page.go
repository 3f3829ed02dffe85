package anthropic

import (
	"net/url"
	"slices"
	"strconv"

	"maxrelay/session/chat"
)

// Page is the part of a list that a client asks for.
type Page struct {
	limit         int
	after, before string // the id next to it; "" for the list's begin
}

// The bounds of a page, which are those of Anthropic's API.
const (
	defaultPage = 20
	maxPage     = 1000
)

// DecodePage reads a list's query. Its errors are *chat.Error.
func DecodePage(q url.Values) (Page, error) {
	p := Page{limit: defaultPage, after: q.Get("after_id"), before: q.Get("before_id")}
	if p.after != "" && p.before != "" {
		return Page{}, chat.Invalid("before_id", "cannot be given together with after_id")
	}
	if !q.Has("limit") {
		return p, nil
	}
	var err error
	if p.limit, err = strconv.Atoi(q.Get("limit")); err != nil || p.limit < 1 || p.limit > maxPage {
		return Page{}, chat.Invalid("limit", "must be a whole number between 1 and %d", maxPage)
	}
	return p, nil
}

// of returns the page's part of the sorted ids, and whether there are more in the
// direction in which the client reads. An id that is no longer among them, since its
// worker left, still has its place in the order.
func (p Page) of(ids []string) (part []string, more bool) {
	if p.before != "" {
		end, _ := slices.BinarySearch(ids, p.before)
		begin := max(0, end-p.limit)
		return ids[begin:end], begin > 0
	}
	begin, found := slices.BinarySearch(ids, p.after)
	if found {
		begin++
	}
	end := min(begin+p.limit, len(ids))
	return ids[begin:end], end < len(ids)
}
