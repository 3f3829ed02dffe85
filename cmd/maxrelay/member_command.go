package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maxrelay/queue"
)

func addWorkerCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "add NAME", Short: "Invite a worker on another machine; the invitation is printed this once", Args: oneWorker,
		Long: "Invite a worker on another machine.\n\n" +
			"The invitation is printed this once, and good for one `maxrelay worker join` within an hour. NAME is what the worker is called.",
	}
	c.Flags().StringSlice("pool", []string{"default"}, "`name` of a pool whose keys it serves; may be repeated")
	c.Flags().Int("expires-in-days", 0, "`days` from now until it is not admitted any more")
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		pools, _ := c.Flags().GetStringSlice("pool") // of a flag that is there
		body := map[string]any{"name": args[0], "pools": pools}
		if days := c.Flag("expires-in-days"); days.Changed {
			body["expires_in_days"] = json.RawMessage(days.Value.String())
		}
		former, err := m.invited(c.Context(), args[0])
		if err != nil {
			return nil, err
		}
		answer, err := m.ask(c.Context(), http.MethodPost, workersPath, body)
		if err == nil && former {
			fmt.Fprintf(c.ErrOrStderr(), "%s was invited before: the former invitation is void.\n", args[0])
		}
		return answer, err
	}, showInvitation)
	return c
}

// oneWorker is the argument of what is done to one.
func oneWorker(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("NAME is missing: which worker, as in `%s box2`", c.CommandPath())
	}
	return cobra.ExactArgs(1)(c, args)
}

// invited tells whether a worker has an invitation that can be used.
func (m *manager) invited(ctx context.Context, name string) (bool, error) {
	answer, err := m.ask(ctx, http.MethodGet, workersPath, nil)
	if err != nil {
		return false, err
	}
	all, err := readMembers(answer)
	return slices.ContainsFunc(all, func(m shownMember) bool { return m.Name == name && m.State == string(queue.MemberInvited) }), err
}

func showInvitation(c *cobra.Command, answer []byte) error {
	var i struct {
		Name         string     `json:"name"`
		Token        string     `json:"token"`
		InvitedUntil *time.Time `json:"invited_until"`
	}
	if err := json.Unmarshal(answer, &i); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), i.Token)
	fmt.Fprintf(c.ErrOrStderr(), "Give this line to `maxrelay worker join -` on the machine of %s, once and until %s.\n", i.Name, when(i.InvitedUntil, ""))
	return nil
}

func revokeWorkerCommand() *cobra.Command {
	return &cobra.Command{Use: "revoke NAME", Short: "Admit a worker no more; what it runs moves to others", Args: oneWorker,
		RunE: managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
			return m.ask(c.Context(), http.MethodDelete, workersPath+"/"+url.PathEscape(args[0]), nil)
		}, showMessage)}
}

// shownMember is a worker that may join, or has, as the management API shows it.
type shownMember struct {
	Name         string     `json:"name"`
	State        string     `json:"state"`
	Pools        []string   `json:"pools"`
	AddedAt      *time.Time `json:"added_at"`
	InvitedUntil *time.Time `json:"invited_until"`
	JoinedAt     *time.Time `json:"joined_at"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
}

// ends is until when it is admitted, its invitation can be used, or since when neither holds.
func (m shownMember) ends() string {
	switch {
	case m.RevokedAt != nil:
		return "revoked " + when(m.RevokedAt, "")
	case m.InvitedUntil != nil:
		return "invitation " + when(m.InvitedUntil, "")
	}
	return when(m.ExpiresAt, "never")
}

func readMembers(answer []byte) ([]shownMember, error) {
	var all struct{ Members []shownMember }
	err := json.Unmarshal(answer, &all)
	return all.Members, err
}

// showMembers shows nothing where nobody was ever invited.
func showMembers(c *cobra.Command, answer []byte) error {
	all, err := readMembers(answer)
	if err != nil || len(all) == 0 {
		return err
	}
	rows := [][]string{{"MEMBER", "STATE", "POOLS", "ADDED", "JOINED", "EXPIRES"}}
	for _, m := range all {
		rows = append(rows, []string{m.Name, m.State, strings.Join(m.Pools, ","), when(m.AddedAt, ""), when(m.JoinedAt, "never"), m.ends()})
	}
	fmt.Fprintln(c.OutOrStdout())
	table(c.OutOrStdout(), rows)
	return nil
}

func joinCommand() *cobra.Command {
	return &cobra.Command{
		Use: "join [INVITATION | -]", Short: "Make this machine's worker one of a node, by an invitation of its `worker add`", Args: cobra.MaximumNArgs(1),
		Long: "Make this machine's worker one of a node, by an invitation of its `maxrelay worker add`.\n\n" +
			"Without an argument, or with -, the invitation is read from standard input: other users of this machine can see arguments.\n" +
			"What the worker proves itself with from then on is kept in the data folder, and `maxrelay worker` uses it.",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := LoadConfig(c.Flags(), os.Environ())
			if err != nil {
				return err
			}
			text, err := invitationOf(args, c.InOrStdin())
			if err != nil {
				return err
			}
			return join(c.Context(), cfg, text, c.OutOrStdout())
		},
	}
}

// maxLine is longer than any invitation.
const maxLine = 16 << 10

func invitationOf(args []string, stdin io.Reader) (string, error) {
	if len(args) > 0 && args[0] != "-" {
		return args[0], nil
	}
	line, err := bufio.NewReader(io.LimitReader(stdin, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the invitation: %w", err)
	}
	return line, nil
}

// join makes sure first that there is a place for what it gets: an invitation works once.
func join(ctx context.Context, cfg Config, text string, out io.Writer) error {
	if cfg.NATS.URL != "" {
		return errors.New("nats.url says to use another NATS server, where workers do not join: who may use it is decided there")
	}
	invitation, err := queue.ParseInvitation(text)
	if err != nil {
		return err
	}
	if err := writable(cfg.DataDir); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	credentials, err := queue.Join(ctx, invitation)
	if err != nil {
		return err
	}
	if err := credentials.Save(cfg.credentialsFile()); err != nil {
		return err
	}
	fmt.Fprintf(out, "joined as %s, for pool %s: start it with `maxrelay worker`\n", credentials.Name, strings.Join(credentials.Pools, ", "))
	return nil
}
