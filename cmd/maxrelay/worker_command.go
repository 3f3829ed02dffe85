package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maxrelay/api/roster"
)

// workerCommand runs a worker; the commands below it manage those of a running node.
func workerCommand() *cobra.Command {
	c := &cobra.Command{Use: "worker", Short: "A worker that takes jobs from a broker", Args: cobra.NoArgs, RunE: running(workerNode)}
	for _, managed := range []*cobra.Command{listWorkersCommand(), drainWorkerCommand(), resumeWorkerCommand(), addWorkerCommand(), revokeWorkerCommand()} {
		managingFlags(managed.Flags())
		c.AddCommand(managed)
	}
	c.AddCommand(joinCommand())
	return c
}

func listWorkersCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the workers of a running node", Args: cobra.NoArgs,
		RunE: managing(func(c *cobra.Command, m *manager, _ []string) ([]byte, error) {
			return m.ask(c.Context(), http.MethodGet, workersPath, nil)
		}, showWorkers)}
}

func drainWorkerCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "drain NAME", Short: "Give a worker no more requests, and wait until those that it runs are over", Args: oneWorker,
		Long: "Give a worker no more requests, and wait until those that it runs are over.\n\n" +
			"NAME is a worker's name or its id. It then does nothing until it is stopped, or told to resume.",
	}
	c.Flags().Bool("no-wait", false, "return at once")
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		w, err := m.worker(c.Context(), args[0])
		if err != nil {
			return nil, err
		}
		answer, err := m.ask(c.Context(), http.MethodPost, workersPath+"/"+url.PathEscape(w.ID)+"/drain", nil)
		if atOnce, _ := c.Flags().GetBool("no-wait"); err != nil || atOnce {
			return answer, err
		}
		return answer, m.awaitDrained(c.Context(), w.ID)
	}, showDrained)
	return c
}

func showDrained(c *cobra.Command, answer []byte) error {
	if atOnce, _ := c.Flags().GetBool("no-wait"); atOnce {
		return showMessage(c, answer)
	}
	fmt.Fprintln(c.OutOrStdout(), "the worker runs nothing any more: stop it, or let it resume")
	return nil
}

func resumeWorkerCommand() *cobra.Command {
	return &cobra.Command{Use: "resume NAME", Short: "Give a worker requests again that was drained, or rests", Args: oneWorker,
		RunE: managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
			w, err := m.worker(c.Context(), args[0])
			if err != nil {
				return nil, err
			}
			return m.ask(c.Context(), http.MethodPost, workersPath+"/"+url.PathEscape(w.ID)+"/resume", nil)
		}, showMessage)}
}

const workersPath = "/workers"

// shownWorker is a worker as the management API shows it, with all that people are shown.
type shownWorker struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	State      string   `json:"state"`
	Reason     string   `json:"reason"`
	Pools      []string `json:"pools"`
	Slots      int      `json:"slots"`
	Busy       int      `json:"busy"`
	Version    string   `json:"version"`
	CLIVersion string   `json:"cli_version"`
	Account    struct {
		Kind   string `json:"kind"`
		Limits []struct {
			Window   string    `json:"window"`
			Used     float64   `json:"used"`
			ResetsAt time.Time `json:"resets_at"`
		} `json:"limits"`
	} `json:"account"`
}

// limits is how much of which window is used.
func (w shownWorker) limits() string {
	var all []string
	for _, l := range w.Account.Limits {
		text := fmt.Sprintf("%s %.0f%%", l.Window, 100*l.Used)
		if !l.ResetsAt.IsZero() {
			text += " until " + when(&l.ResetsAt, "")
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (m *manager) workers(ctx context.Context) ([]shownWorker, error) {
	answer, err := m.ask(ctx, http.MethodGet, workersPath, nil)
	if err != nil {
		return nil, err
	}
	return readWorkers(answer)
}

func readWorkers(answer []byte) ([]shownWorker, error) {
	var all struct{ Workers []shownWorker }
	err := json.Unmarshal(answer, &all)
	return all.Workers, err
}

// worker finds one by its id or its name, which several may have.
func (m *manager) worker(ctx context.Context, name string) (found shownWorker, err error) {
	all, err := m.workers(ctx)
	if err != nil {
		return found, err
	}
	var ids []string
	for _, w := range all {
		if w.ID == name {
			return w, nil
		}
		if w.Name == name {
			found, ids = w, append(ids, w.ID)
		}
	}
	switch len(ids) {
	case 0:
		return found, fmt.Errorf("there is no worker %q: `maxrelay worker list` shows those there are", name)
	case 1:
		return found, nil
	}
	return found, fmt.Errorf("%d workers have this name, say which: %s", len(ids), strings.Join(ids, ", "))
}

// drainPoll is how often a worker that drains is looked at.
const drainPoll = 500 * time.Millisecond

// awaitDrained returns when a worker that was told to drain has said so and runs nothing
// any more, or is gone.
func (m *manager) awaitDrained(ctx context.Context, id string) error {
	for {
		all, err := m.workers(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(w shownWorker) bool { return w.ID == id })
		if i < 0 || all[i].State == string(roster.Draining) && all[i].Busy == 0 {
			return nil
		}
		select {
		case <-time.After(drainPoll):
		case <-ctx.Done():
			return fmt.Errorf("%d requests still run: %w", all[i].Busy, context.Cause(ctx))
		}
	}
}

func showWorkers(c *cobra.Command, answer []byte) error {
	all, err := readWorkers(answer)
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATE", "BUSY", "POOLS", "ACCOUNT", "LIMITS", "CLI", "VERSION", "REASON"}}
	for _, w := range all {
		rows = append(rows, []string{w.ID, w.State, fmt.Sprintf("%d/%d", w.Busy, w.Slots), strings.Join(w.Pools, ","),
			w.Account.Kind, w.limits(), w.CLIVersion, w.Version, w.Reason})
	}
	table(c.OutOrStdout(), rows)
	return showMembers(c, answer)
}
