package admin

import (
	"encoding/json"
	"math"
	"time"

	"maxrelay/api/key"
)

// said is an answer that is only words.
type said struct {
	Message string `json:"message"`
}

// minted is a key with its secret, which is shown this once.
type minted struct {
	ID          string     `json:"id"`
	APIKey      string     `json:"api_key"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	TokenLimit  int64      `json:"token_limit"`
	TokensUsed  int64      `json:"tokens_used"`
	Tier        string     `json:"rate_limit_tier"`
	Active      bool       `json:"is_active"`
	ExpiresAt   *time.Time `json:"expires_at"`
	CreatedAt   time.Time  `json:"created_at"`
}

func (a *Admin) mintedOf(k key.Record, secret string) minted {
	return minted{
		ID: k.ID, APIKey: secret, Name: k.Name, Description: k.Description,
		TokenLimit: k.TokenLimit, TokensUsed: a.cfg.Usage(k.ID).Tokens, Tier: k.Tier,
		Active: k.Active, ExpiresAt: maybe(k.ExpiresAt), CreatedAt: k.CreatedAt,
	}
}

// numbers are what a key may use and has used. One of them has two names, because
// clients of former relays know it by either.
type numbers struct {
	TokenLimit      int64      `json:"token_limit"`
	TokenUsed       int64      `json:"token_used"`
	TokensUsed      int64      `json:"tokens_used"`
	TokenRemaining  int64      `json:"token_remaining"`
	UsagePercentage float64    `json:"usage_percentage"`
	Tier            string     `json:"rate_limit_tier"`
	RequestCount    int64      `json:"request_count"`
	ErrorCount      int64      `json:"error_count"`
	Active          bool       `json:"is_active"`
	LastUsedAt      *time.Time `json:"last_used_at"`
}

func (a *Admin) numbersOf(k key.Record) numbers {
	u := a.cfg.Usage(k.ID)
	return numbers{
		TokenLimit: k.TokenLimit, TokenUsed: u.Tokens, TokensUsed: u.Tokens, TokenRemaining: max(0, k.TokenLimit-u.Tokens),
		UsagePercentage: math.Round(float64(u.Tokens)/float64(k.TokenLimit)*100_00) / 100,
		Tier:            k.Tier, RequestCount: u.Requests, ErrorCount: u.Errors, Active: k.Active, LastUsedAt: maybe(u.LastUsed),
	}
}

type keyStats struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	numbers
}

func (a *Admin) statsOf(k key.Record) keyStats { return keyStats{k.ID, k.Name, a.numbersOf(k)} }

// keyView is all of a key but its secrets.
type keyView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Pool        string `json:"pool"`
	Prefix      string `json:"key_prefix"`
	numbers
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	ExpiresAt      *time.Time      `json:"expires_at"`
	AllowedIPs     []string        `json:"allowed_ips"`
	AllowedOrigins []string        `json:"allowed_origins"`
	AllowedModels  []string        `json:"allowed_models"`
	Metadata       json.RawMessage `json:"metadata"`
	DeletedAt      time.Time       `json:"deleted_at,omitzero"` // of deleted keys only
}

func (a *Admin) viewOf(k key.Record) keyView {
	v := keyView{
		ID: k.ID, Name: k.Name, Description: k.Description, Pool: k.Pool, Prefix: k.Prefix, numbers: a.numbersOf(k),
		CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt, ExpiresAt: maybe(k.ExpiresAt), DeletedAt: k.DeletedAt,
		AllowedIPs: list(k.AllowedIPs), AllowedOrigins: list(k.AllowedOrigins), AllowedModels: list(k.AllowedModels),
		Metadata: k.Metadata,
	}
	if len(v.Metadata) == 0 {
		v.Metadata = json.RawMessage("{}")
	}
	return v
}

// list is never null in JSON.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// maybe is null in JSON for what never was or will be.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
