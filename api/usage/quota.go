package usage

import (
	"net/http"
	"time"

	"maxrelay/api/key"
)

// Quota is how a key stands.
type Quota struct {
	Limit     int64  // tokens of the key's day or life; 0: no limit
	Used      int64  // of them, what is reserved for running requests included
	Tier      string // "": the key is of the configuration
	Active    bool
	ExpiresAt time.Time // zero: never
}

// quota answers GET /api/usage/quota.
type quota struct {
	Limit     *int64     `json:"token_limit"` // null: no limit
	Used      int64      `json:"token_used"`
	Remaining *int64     `json:"token_remaining"`
	Percent   float64    `json:"usage_percentage"`
	Exceeded  bool       `json:"is_quota_exceeded"`
	Tier      *string    `json:"rate_limit_tier"` // null: the rate of keys of the configuration
	Active    bool       `json:"is_active"`
	ExpiresAt *time.Time `json:"expires_at"`
	Expired   bool       `json:"is_expired"`
}

// Quota tells a caller what is left of its tokens.
func (u *Usage) Quota(w http.ResponseWriter, _ *http.Request, who key.Identity) error {
	q := u.cfg.Quota(who)
	told := quota{Used: q.Used, Active: q.Active}
	if q.Tier != "" {
		told.Tier = &q.Tier
	}
	if q.Limit > 0 {
		told.Limit, told.Remaining = &q.Limit, new(max(0, q.Limit-q.Used))
		told.Percent, told.Exceeded = percent(q.Used, q.Limit), q.Used >= q.Limit
	}
	if !q.ExpiresAt.IsZero() {
		told.ExpiresAt, told.Expired = &q.ExpiresAt, !u.cfg.Now().Before(q.ExpiresAt)
	}
	return writeJSON(w, told)
}
