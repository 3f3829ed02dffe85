package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// shownKey is a key as the management API shows it, with all that people are shown.
type shownKey struct {
	ID             string          `json:"id"`
	Secret         string          `json:"api_key"` // of new ones only
	Name           string          `json:"name"`
	Description    string          `json:"description"`
	Pool           string          `json:"pool"`
	Prefix         string          `json:"key_prefix"`
	TokenLimit     int64           `json:"token_limit"`
	TokensUsed     int64           `json:"tokens_used"`
	Tier           string          `json:"rate_limit_tier"`
	Requests       int64           `json:"request_count"`
	Errors         int64           `json:"error_count"`
	Active         bool            `json:"is_active"`
	ExpiresAt      *time.Time      `json:"expires_at"`
	CreatedAt      *time.Time      `json:"created_at"`
	LastUsedAt     *time.Time      `json:"last_used_at"`
	DeletedAt      *time.Time      `json:"deleted_at"`
	AllowedIPs     []string        `json:"allowed_ips"`
	AllowedOrigins []string        `json:"allowed_origins"`
	AllowedModels  []string        `json:"allowed_models"`
	Metadata       json.RawMessage `json:"metadata"`
}

func (k shownKey) state() string {
	switch {
	case k.DeletedAt != nil:
		return "deleted"
	case !k.Active:
		return "disabled"
	case k.ExpiresAt != nil && !time.Now().Before(*k.ExpiresAt):
		return "expired"
	}
	return "active"
}

// showSecret is for answers that will not be given again.
func showSecret(c *cobra.Command, answer []byte) error {
	var k shownKey
	if err := json.Unmarshal(answer, &k); err != nil {
		return err
	}
	table(c.OutOrStdout(), [][]string{{"id", k.ID}, {"name", k.Name}, {"expires", when(k.ExpiresAt, "never")}, {"secret", k.Secret}})
	fmt.Fprintln(c.ErrOrStderr(), "The secret is shown this once: keep it now.")
	return nil
}

func showKey(c *cobra.Command, answer []byte) error {
	var k shownKey
	if err := json.Unmarshal(answer, &k); err != nil {
		return err
	}
	table(c.OutOrStdout(), [][]string{
		{"id", k.ID}, {"name", k.Name}, {"description", k.Description}, {"secret", k.Prefix + "…"}, {"state", k.state()},
		{"pool", k.Pool}, {"tier", k.Tier}, {"tokens", fmt.Sprintf("%d of %d", k.TokensUsed, k.TokenLimit)},
		{"requests", fmt.Sprintf("%d, %d failed", k.Requests, k.Errors)},
		{"created", when(k.CreatedAt, "")}, {"expires", when(k.ExpiresAt, "never")}, {"last used", when(k.LastUsedAt, "never")},
		{"allowed ips", either(k.AllowedIPs, "all")}, {"allowed origins", either(k.AllowedOrigins, "all")},
		{"allowed models", either(k.AllowedModels, "all")}, {"metadata", string(k.Metadata)},
	})
	return nil
}

func showList(c *cobra.Command, answer []byte) error {
	var page struct {
		Items []shownKey
		Total int
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return err
	}
	rows := [][]string{{"ID", "NAME", "SECRET", "STATE", "POOL", "TIER", "TOKENS", "LIMIT", "EXPIRES", "LAST USED"}}
	for _, k := range page.Items {
		rows = append(rows, []string{k.ID, k.Name, k.Prefix + "…", k.state(), k.Pool, k.Tier,
			fmt.Sprint(k.TokensUsed), fmt.Sprint(k.TokenLimit), when(k.ExpiresAt, "never"), when(k.LastUsedAt, "never")})
	}
	table(c.OutOrStdout(), rows)
	if len(page.Items) < page.Total {
		fmt.Fprintf(c.ErrOrStderr(), "%d of %d keys: see --skip and --limit.\n", len(page.Items), page.Total)
	}
	return nil
}

func showMessage(c *cobra.Command, answer []byte) error {
	var said struct{ Message string }
	if err := json.Unmarshal(answer, &said); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), said.Message)
	return nil
}

func table(out io.Writer, rows [][]string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Map(printed, strings.Join(row, "\t")))
	}
	w.Flush()
}

// printed leaves out what a terminal would obey: some cells are what a worker says of itself.
func printed(r rune) rune {
	if r != '\t' && !unicode.IsPrint(r) {
		return '\uFFFD'
	}
	return r
}

func when(t *time.Time, absent string) string {
	if t == nil {
		return absent
	}
	return t.UTC().Format(time.RFC3339)
}

func either(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}
