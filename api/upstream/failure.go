package upstream

import (
	"net/http"

	"maxrelay/session/chat"
)

// statusOverloaded is Anthropic's own.
const statusOverloaded = 529

// codeOf names the failure that an upstream's status tells of; "" for none.
func codeOf(status int) chat.Code {
	switch {
	case status < 400:
		return ""
	case status == http.StatusNotFound:
		return chat.CodeNotFound
	case status == http.StatusRequestEntityTooLarge:
		return chat.CodeTooLarge
	case status == http.StatusTooManyRequests:
		return chat.CodeRateLimited
	case status == http.StatusServiceUnavailable, status == statusOverloaded:
		return chat.CodeOverloaded
	case status < 500:
		return chat.CodeInvalid
	}
	return chat.CodeUpstream
}
