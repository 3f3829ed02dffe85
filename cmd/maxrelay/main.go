// Command maxrelay turns claude CLI processes into an OpenAI-compatible API.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"maxrelay/session"
)

// version is set by the linker.
var version = "dev"

func main() {
	collectLess()
	ctx, stop := context.WithCancelCause(context.Background())
	go watchSignals(stop)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "maxrelay:", err)
		os.Exit(1)
	}
}

// collectLess lets the heap grow to five times what lives, up to a quarter of the
// machine. What lives is a few MB mostly, which Go would otherwise collect several
// times a turn; with large bodies under way it is much, and collected sooner.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if total := totalMemory(); os.Getenv("GOMEMLIMIT") == "" && total > 0 {
		debug.SetMemoryLimit(total / 4)
	}
}

// watchSignals begins a drain at the first signal and ends the program at the second.
// Children die with the program, whatever way it ends.
func watchSignals(stop context.CancelCauseFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stop(fmt.Errorf("received %s", <-signals))
	<-signals
	os.Exit(130)
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "maxrelay",
		Short:         "Turn claude CLI processes into an OpenAI-compatible API",
		Long:          "Turn claude CLI processes into an OpenAI-compatible API.\n\nWithout a command it serves: API, embedded broker and a worker in one process.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          running(serve),
	}
	registerFlags(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "API, embedded broker and a worker in one process", Args: cobra.NoArgs, RunE: running(serve)},
		&cobra.Command{Use: "api", Short: "API and broker; workers join over the network", Args: cobra.NoArgs, RunE: running(apiNode)},
		workerCommand(),
		keyCommand(),
		&cobra.Command{Use: "broker", Short: "The broker alone, to back up or restore what it keeps", Args: cobra.NoArgs, RunE: running(brokerAlone)},
		statsCommand(),
		demoCommand(),
		doctorCommand(),
		&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "maxrelay %s, tested with Claude Code %s\n", version, session.TestedCLI)
		}},
	)
	return root
}

// running makes a command of a program: it reads the configuration, opens the parts,
// and closes them when the command's context ends.
func running(open func(context.Context, *program) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		load := func() (Config, error) { return LoadConfig(c.Flags(), os.Environ()) }
		cfg, err := load()
		if err != nil {
			return err
		}
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		setLogLevel(cfg.Log.Level)
		p := newProgram(cfg, newLogger(cfg.Log, os.Stderr))
		tell(p.log, cfg.notices())
		p.onReload(reloadLogLevel)
		defer p.close()
		if err := open(c.Context(), p); err != nil {
			if c.Context().Err() != nil {
				return nil // told to stop while starting
			}
			return err
		}
		p.run(c.Context(), hangups, load)
		p.log.Info().AnErr("cause", context.Cause(c.Context())).Dur("drain_timeout", cfg.Worker.DrainTimeout).Msg("stopping")
		return nil
	}
}
