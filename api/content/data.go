package content

import (
	"encoding/base64"
	"net/url"
	"strings"

	"maxrelay/session/chat"
)

// Data is what a data: address holds.
type Data struct {
	MediaType string // as labelled, in lower case; "" for none
	Base64    string
}

// IsDataURL reports whether an address is one that holds its bytes.
func IsDataURL(address string) bool {
	return len(address) >= 5 && strings.EqualFold(address[:5], "data:")
}

// ParseDataURL takes a data: address apart (RFC 2397). Bytes come in base64 only.
func ParseDataURL(at, address string) (Data, error) {
	head, data, ok := strings.Cut(address[len("data:"):], ",")
	parameters := strings.Split(strings.ToLower(head), ";")
	if last := strings.TrimSpace(parameters[len(parameters)-1]); !ok || last != "base64" {
		return Data{}, chat.Invalid(at, "must be a data: address in base64, like data:image/png;base64,…")
	}
	if strings.IndexByte(data, '%') >= 0 {
		unescaped, err := url.PathUnescape(data)
		if err != nil {
			return Data{}, errBase64(at)
		}
		data = unescaped
	}
	return Data{strings.TrimSpace(parameters[0]), data}, nil
}

func errBase64(at string) error { return chat.Invalid(at, "is not base64") }

// canonical64 returns base64 in its one canonical form: the standard alphabet, padded,
// no line breaks (RFC 4648 section 4). The same bytes have the same form however a
// client wrote them, so that they are the same conversation. What is in that form
// already, as nearly all is, is neither decoded nor copied.
func canonical64(at, s string) (string, error) {
	if s == "" {
		return "", chat.Invalid(at, "is empty")
	}
	if isCanonical64(s) {
		return s, nil
	}
	data, err := base64.RawStdEncoding.DecodeString(bare64(s))
	if err != nil || len(data) == 0 {
		return "", errBase64(at)
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// isCanonical64 reports whether s is what base64.StdEncoding would write.
func isCanonical64(s string) bool {
	body := strings.TrimRight(s, "=")
	if len(s)%4 != 0 || len(s)-len(body) > 2 {
		return false
	}
	for i := range len(body) {
		if sextet[body[i]] < 0 {
			return false
		}
	}
	spare := 2 * (len(s) - len(body)) // bits of the last character that stand for nothing
	return len(body) > 0 && sextet[body[len(body)-1]]&(1<<spare-1) == 0
}

// sextet has the value of each character, -1 for those that have none.
var sextet = func() (t [256]int8) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = int8(strings.IndexByte(alphabet, byte(i)))
	}
	return t
}()

// bare64 takes off padding and white space, and writes both alphabets as one.
func bare64(s string) string {
	s = strings.Map(func(c rune) rune {
		switch c {
		case ' ', '\t', '\r', '\n':
			return -1
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return c
	}, s)
	if bare := strings.TrimRight(s, "="); len(s) == len(bare) || len(s)%4 == 0 && len(s)-len(bare) <= 2 {
		return bare
	}
	return "=" // padding of no meaning: not base64
}

// maxAddress is more than the longest signed addresses of the large stores.
const maxAddress = 8 << 10 // bytes

// checkAddress checks an address that the upstream is to fetch; this program never does.
func checkAddress(at, address string) error {
	if len(address) > maxAddress {
		return chat.Invalid(at, "must be an address of at most %d bytes", maxAddress)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return chat.Invalid(at, "is not an address")
	case u.Scheme != "http" && u.Scheme != "https":
		return chat.Invalid(at, "must be an http:, https: or data: address")
	case u.Hostname() == "":
		return chat.Invalid(at, "must be an address with a host")
	case u.User != nil:
		return chat.Invalid(at, "must be an address without a user name or password")
	}
	return nil
}
