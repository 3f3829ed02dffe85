package usage

import (
	"math"
	"net/http"
	"time"

	"maxrelay/api/key"
	"maxrelay/stats"
)

// Row is a request in a log.
type Row struct {
	ID            string    `json:"id"`
	KeyID         string    `json:"api_key_id"`
	RequestID     string    `json:"request_id"`
	Method        string    `json:"request_method"`
	Path          string    `json:"request_path"`
	RequestBytes  int64     `json:"request_size"`
	Status        int       `json:"response_status"`
	ResponseBytes int64     `json:"response_size"`
	Millis        int64     `json:"response_time_ms"`
	Prompt        int       `json:"prompt_tokens"` // cached ones included
	Completion    int       `json:"completion_tokens"`
	Total         int       `json:"total_tokens"`
	CacheRead     int       `json:"cache_read_tokens"`
	CacheWrite    int       `json:"cache_write_tokens"`
	Model         string    `json:"model"`
	IsError       bool      `json:"is_error"`
	ErrorMessage  *string   `json:"error_message"`
	ErrorCode     *string   `json:"error_code"`
	Cost          float64   `json:"total_cost"`
	CreatedAt     time.Time `json:"created_at"`
}

// RowOf is an event in a log.
func RowOf(e stats.Event, prices stats.Prices) Row {
	u := e.Usage
	row := Row{
		ID: e.ID, KeyID: e.KeyID, RequestID: e.RequestID(), Method: e.Method, Path: e.Path, RequestBytes: e.RequestBytes,
		Status: e.Status, ResponseBytes: e.ResponseBytes, Millis: e.DurationMS,
		Prompt: u.PromptTokens(), Completion: u.OutputTokens, Total: u.PromptTokens() + u.OutputTokens,
		CacheRead: u.CacheReadTokens, CacheWrite: u.CacheWriteTokens, Model: e.Model, IsError: stats.Failed(e.ErrorCode), CreatedAt: e.Time,
	}
	if e.ErrorCode != "" {
		row.ErrorCode, row.ErrorMessage = &e.ErrorCode, new(stats.Explain(e.ErrorCode))
	}
	if !row.IsError {
		row.Cost = stats.Dollars(prices.Of(e.Model, int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWriteTokens)))
	}
	return row
}

// Logs tells a caller its requests, newest first.
func (u *Usage) Logs(w http.ResponseWriter, r *http.Request, who key.Identity) error {
	q := query(r.URL.Query())
	in, err := q.span("start_date", "end_date")
	if err != nil {
		return err
	}
	skip, err := q.number("skip", 0, 0, math.MaxInt32)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	format, err := q.word("format", "json", "csv")
	if err != nil {
		return err
	}
	events, err := u.cfg.Records.Page(r.Context(), who.ID, in, skip, limit)
	if err != nil {
		return told(err)
	}
	rows, prices := make([]Row, len(events)), u.cfg.Prices()
	for i, e := range events {
		rows[i] = RowOf(e.Event, prices)
	}
	return write(w, format, "usage-logs", rows, rows)
}
