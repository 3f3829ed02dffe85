package anthropictest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reply is how one request is answered. The functions of this file build the usual ones; methods return a changed copy.
type Reply struct {
	Parts        []Part // content blocks in order
	StopReason   string // default: tool_use if a part is one, else end_turn
	StopSequence string
	Delay        time.Duration // before each delta
	Header       http.Header   // added to the response

	Error *APIError // an answer with this status instead of content
	Raw   *Raw      // an answer with these bytes instead of content
	Fault *Fault    // what goes wrong on the way
	Gate  *Gate     // where the reply waits for the test
	Usage *Usage    // instead of the counted one
}

// Part is one content block with the deltas it is sent in.
type Part struct {
	Type   string // text, thinking or tool_use
	Deltas []string
	ID     string // of a tool call; made up when empty
	Name   string // of the tool
}

// APIError is an error answer in the API's form.
type APIError struct {
	Status  int
	Type    string
	Message string
}

// Raw is an answer that needs not be one of the API's.
type Raw struct {
	Status      int
	ContentType string
	Body        string
}

// The places of a Fault or Gate before the first content. 0 is after message_start.
const (
	BeforeHeaders = -1 // nothing was answered yet
	BeforeMessage = -2 // the headers of a stream were
)

// Fault breaks a reply after a number of content deltas, or at one of the places before them.
type Fault struct {
	After int
	Kind  FaultKind
	Error APIError // for FaultError
}

// FaultKind is the way in which a reply breaks.
type FaultKind int

const (
	FaultReset     FaultKind = iota // the connection is reset
	FaultEOF                        // the connection is closed in the middle of the body
	FaultEnd                        // the body ends, in the order of HTTP
	FaultStall                      // silence until the client or the server closes
	FaultMalformed                  // an event whose data is no JSON, then the end of the body
	FaultError                      // an SSE error event, then the end of the body
)

// Say answers with one text block, one delta per piece.
func Say(pieces ...string) Reply { return Reply{Parts: []Part{{Type: "text", Deltas: pieces}}} }

// Text answers with n deltas "tok0 ", "tok1 ", … and a pause before each.
func Text(n int, delay time.Duration) Reply {
	r := Say(tokens(n)...)
	r.Delay = delay
	return r
}

func tokens(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "tok" + strconv.Itoa(i) + " "
	}
	return out
}

// Think answers with a thinking block; Then puts the text behind it.
func Think(pieces ...string) Reply {
	return Reply{Parts: []Part{{Type: "thinking", Deltas: pieces}}}
}

// ToolUse answers with a call of a tool; input is a JSON object. Then puts further calls behind it.
func ToolUse(name, input string) Reply {
	half := len(input) / 2
	for half > 0 && !utf8.RuneStart(input[half]) {
		half--
	}
	return Reply{Parts: []Part{{Type: "tool_use", Name: name, Deltas: []string{input[:half], input[half:]}}}}
}

// Refuse answers with a little text and the stop reason refusal.
func Refuse() Reply { return Say("I", " cannot").WithStop("refusal") }

// MaxTokens answers with n deltas and the stop reason max_tokens.
func MaxTokens(n int) Reply { return Text(n, 0).WithStop("max_tokens") }

// Status answers with an error in the API's form. An empty kind is the API's own for that status.
func Status(code int, kind, message string) Reply {
	if kind == "" {
		kind = errorType(code)
	}
	return Reply{Error: &APIError{Status: code, Type: kind, Message: message}}
}

// Page answers with status 200 and bytes of any kind, as a proxy in between might.
func Page(contentType, body string) Reply {
	return Reply{Raw: &Raw{Status: http.StatusOK, ContentType: contentType, Body: body}}
}

// ResetBeforeHeaders cuts the connection without an answer.
func ResetBeforeHeaders() Reply { return Say().Broken(FaultReset, BeforeHeaders) }

// StallBeforeHeaders never answers.
func StallBeforeHeaders() Reply { return Say().Broken(FaultStall, BeforeHeaders) }

// Broken makes the reply fail after a number of deltas.
func (r Reply) Broken(kind FaultKind, after int) Reply {
	r.Fault = &Fault{After: after, Kind: kind}
	return r
}

// ErrorAfter makes the stream end with an SSE error event after a number of deltas.
func (r Reply) ErrorAfter(after int, kind, message string) Reply {
	r.Fault = &Fault{After: after, Kind: FaultError, Error: APIError{Type: kind, Message: message}}
	return r
}

// Then appends the content of another reply; its stop reason wins if it has one.
func (r Reply) Then(next Reply) Reply {
	r.Parts = append(r.Parts[:len(r.Parts):len(r.Parts)], next.Parts...)
	if next.StopReason != "" {
		r.StopReason, r.StopSequence = next.StopReason, next.StopSequence
	}
	return r
}

// WithStop sets the stop reason.
func (r Reply) WithStop(reason string) Reply {
	r.StopReason = reason
	return r
}

// WithHeader adds response headers, such as RateLimit's or a retry-after.
func (r Reply) WithHeader(h http.Header) Reply {
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for k, v := range h {
		r.Header[http.CanonicalHeaderKey(k)] = v
	}
	return r
}

// RetryAfter adds the header of that name.
func (r Reply) RetryAfter(seconds int) Reply {
	return r.WithHeader(http.Header{"Retry-After": {strconv.Itoa(seconds)}})
}

// HeldBy makes the reply wait at a gate.
func (r Reply) HeldBy(g *Gate) Reply {
	r.Gate = g
	return r
}

// WithUsage replaces the counted usage.
func (r Reply) WithUsage(u Usage) Reply {
	r.Usage = &u
	return r
}

func (r Reply) stopReason() string {
	if r.StopReason != "" {
		return r.StopReason
	}
	if r.has("tool_use") {
		return "tool_use"
	}
	return "end_turn"
}

func (r Reply) has(kind string) bool {
	for _, p := range r.Parts {
		if p.Type == kind {
			return true
		}
	}
	return false
}

func (r Reply) deltas() int {
	n := 0
	for _, p := range r.Parts {
		n += len(p.Deltas)
	}
	return n
}

// RateLimit is the headers by which the API tells a subscription's state: status allowed, allowed_warning or rejected, and the
// claim that decides it, five_hour or seven_day.
func RateLimit(status, claim string, utilization float64, resets time.Time) http.Header {
	short := map[string]string{"five_hour": "5h", "seven_day": "7d"}[claim]
	const p = "Anthropic-Ratelimit-Unified-"
	h := http.Header{}
	h.Set(p+"Status", status)
	h.Set(p+"Reset", strconv.FormatInt(resets.Unix(), 10))
	h.Set(p+"Representative-Claim", claim)
	h.Set(p+"Fallback-Percentage", "0.5")
	h.Set(p+"Overage-Status", "rejected")
	h.Set(p+"Overage-Disabled-Reason", "org_level_disabled")
	if short != "" {
		h.Set(p+short+"-Status", status)
		h.Set(p+short+"-Reset", strconv.FormatInt(resets.Unix(), 10))
		h.Set(p+short+"-Utilization", strings.TrimSuffix(fmt.Sprintf("%.2f", utilization), ".00"))
	}
	return h
}

func errorType(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request_error"
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case 529:
		return "overloaded_error"
	}
	return "api_error"
}
