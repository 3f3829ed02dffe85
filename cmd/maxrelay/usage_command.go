package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"maxrelay/api/usage"
	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/projection"
)

func statsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "stats", Short: "Export usage, or read it anew from the record", Args: cobra.NoArgs,
		Long: "Export usage, or read it anew from the record.\n\nBoth are about the API node whose data folder the configuration names; it may be running or not.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		&cobra.Command{Use: "rebuild", Short: "Make the usage log, the totals and stats.json anew", Args: cobra.NoArgs, RunE: rebuildCommand},
		exportCommand(),
	)
	return c
}

func rebuildCommand(c *cobra.Command, _ []string) error {
	cfg, err := LoadConfig(c.Flags(), os.Environ())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := rebuild(c.Context(), cfg, c.ErrOrStderr()); err != nil {
		return err
	}
	n, err := countUsage(c.Context(), cfg)
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(c.OutOrStdout(), "%d requests in %s, %.0f a second\n", n, elapsed(began), float64(n)/took.Seconds())
	return nil
}

// rebuild asks the node that keeps the log, or does it where none is running.
func rebuild(ctx context.Context, cfg Config, progress io.Writer) error {
	setLogLevel("warn")
	p := newProgram(cfg, newLogger(cfg.Log, os.Stderr))
	defer p.close()
	err := p.lockUsage()
	if errors.Is(err, errInUse) {
		fmt.Fprintln(progress, "asking the running node, and waiting until it is done")
		return projection.Rebuild(ctx, cfg.usageFolder())
	}
	if err != nil {
		return err
	}
	if err := p.openRecord(ctx); err != nil {
		return err
	}
	return p.used.Ready(ctx)
}

// openRecord opens what reads the record of usage and nothing that serves, to read it
// from its beginning.
func (p *program) openRecord(ctx context.Context) error {
	if err := p.openBroker(ctx); err != nil {
		return err
	}
	nc, err := p.connect("stats")
	if err != nil {
		return err
	}
	record, err := stats.NewReader(nc, 1, p.log)
	if err != nil {
		return err
	}
	if _, err := record.Extent(ctx); err != nil { // nothing was ever recorded
		return err
	}
	if err := projection.Ask(p.cfg.usageFolder()); err != nil {
		return err
	}
	if err := p.openProjection(nc); err != nil {
		return err
	}
	return p.openDaybook()
}

func countUsage(ctx context.Context, cfg Config) (n int, err error) {
	err = eachRequest(ctx, cfg, "", projection.Span{}, func(stats.Recorded) error {
		n++
		return nil
	})
	return n, err
}

func eachRequest(ctx context.Context, cfg Config, key string, in projection.Span, take func(stats.Recorded) error) error {
	log, err := projection.OpenLog(cfg.usageFolder())
	if err != nil {
		return err
	}
	return errors.Join(log.Each(ctx, key, in, take), log.Close())
}

func exportCommand() *cobra.Command {
	c := &cobra.Command{Use: "export", Short: "Print every request as CSV or JSON, oldest first", Args: cobra.NoArgs}
	format := c.Flags().String("format", "csv", "csv or json")
	key := c.Flags().String("key", "", "only requests of the key with this `id`")
	from := c.Flags().String("from", "", "only from this `day` on, like 2026-02-24, or moment")
	to := c.Flags().String("to", "", "only up to this `day`, which is included, or moment")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := LoadConfig(c.Flags(), os.Environ())
		if err != nil {
			return err
		}
		in, err := usage.ParseSpan(*from, *to)
		if err != nil {
			return ofFlag(err)
		}
		out, err := newExport(c.OutOrStdout(), *format)
		if err != nil {
			return err
		}
		prices := cfg.Prices.table()
		if err := eachRequest(c.Context(), cfg, *key, in, func(e stats.Recorded) error { return out.write(usage.RowOf(e.Event, prices)) }); err != nil {
			return err
		}
		return out.end()
	}
	return c
}

// ofFlag words an error of a request's parameter for whoever gave it as a flag.
func ofFlag(err error) error {
	if wrong, ok := errors.AsType[*chat.Error](err); ok {
		return fmt.Errorf("--%s: %s", wrong.Param, wrong.Message)
	}
	return err
}

// export is a file that is written a request at a time.
type export struct {
	write func(usage.Row) error
	end   func() error
}

func newExport(w io.Writer, format string) (export, error) {
	switch format {
	case "csv":
		table := usage.NewTable[usage.Row](w)
		return export{table.Write, table.Flush}, nil
	case "json":
		return jsonExport(w), nil
	}
	return export{}, errors.New("--format: neither csv nor json")
}

// jsonExport is one array with a request a line.
func jsonExport(w io.Writer) export {
	before := "[\n"
	return export{
		write: func(r usage.Row) error {
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s%s", before, line)
			before = ",\n"
			return err
		},
		end: func() error {
			if before == "[\n" {
				_, err := io.WriteString(w, "[]\n")
				return err
			}
			_, err := io.WriteString(w, "\n]\n")
			return err
		},
	}
}
