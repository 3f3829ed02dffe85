package main

import (
	"errors"
	"syscall"
	"time"

	"maxrelay/queue/linktest"
	"maxrelay/session/claudetest"
)

// kindOfFault is something that can fail. do makes it so, waits, and heals it.
type kindOfFault struct {
	name   string
	do     func(*fault) error
	atNode bool // else at a worker
	away   bool // the process is away meanwhile
	kills  bool // an API node, with all that it has in memory
	breaks bool // connections of callers break
	local  bool // nobody else can notice: it is between callers and their API node
}

var kindsOfFault = []kindOfFault{
	{name: "is killed", do: killed, atNode: true, away: true, kills: true, breaks: true},
	{name: "stands still", do: stopped, atNode: true, away: true},
	{name: "is restarted", do: restarted, atNode: true, away: true},
	{name: "has a full disk", do: diskFull, atNode: true, away: true},
	{name: "is cut off the other nodes", do: onRoute(linktest.Weather{Cut: true}), atNode: true, away: true},
	{name: "has a slow route", do: onRoute(linktest.Weather{Up: linktest.Slow, Down: linktest.Slow}), atNode: true, away: true},
	{name: "has a silent route", do: onRoute(linktest.Weather{Up: linktest.Held, Down: linktest.Held}), atNode: true, away: true},
	{name: "is cut off its callers", do: under(linktest.Weather{Cut: true}), atNode: true, breaks: true, local: true},
	{name: "is slow to reach", do: under(linktest.Weather{Up: linktest.Slow, Down: linktest.Slow}), atNode: true, local: true},
	{name: "hears no caller", do: under(linktest.Weather{Up: linktest.Held}), atNode: true, local: true},
	{name: "is not heard by callers", do: under(linktest.Weather{Down: linktest.Held}), atNode: true, local: true},

	{name: "is killed", do: killed, away: true},
	{name: "stands still", do: stopped, away: true},
	{name: "is restarted", do: restarted, away: true},
	{name: "is cut off the broker", do: under(linktest.Weather{Cut: true})},
	{name: "hears and says nothing", do: under(linktest.Weather{Up: linktest.Held, Down: linktest.Held})},
	{name: "is not heard", do: under(linktest.Weather{Up: linktest.Held})},
	{name: "hears nothing", do: under(linktest.Weather{Down: linktest.Held})},
	{name: "has a slow network", do: under(linktest.Weather{Up: linktest.Slow, Down: linktest.Slow})},

	{name: "loses a CLI", do: cliKilled},
	{name: "has a CLI that stands still", do: cliStopped},
	{name: "has CLIs that start slowly", do: ordered(claudetest.EnvStartDelay + "=1500ms")},
	{name: "has CLIs that do not start", do: ordered(claudetest.EnvCrashAtStart + "=1")},
	{name: "has CLIs that wait before they answer", do: ordered(claudetest.EnvTTFT + "=1s")},
}

func killed(x *fault) error {
	x.station.now().kill()
	x.wait()
	return x.station.start()
}

func stopped(x *fault) error {
	x.station.signal(syscall.SIGSTOP)
	x.wait()
	x.station.signal(syscall.SIGCONT)
	return nil
}

func restarted(x *fault) error {
	return errors.Join(x.station.stop(), x.station.start())
}

// diskFull: a broker that could not write has to be started again.
func diskFull(x *fault) error {
	if err := x.station.disk.fill(); err != nil {
		return err
	}
	x.wait()
	return errors.Join(x.station.disk.empty(), restarted(x))
}

func under(w linktest.Weather) func(*fault) error {
	return func(x *fault) error {
		x.station.turn(w)
		x.wait()
		x.station.turn(linktest.Weather{})
		return nil
	}
}

func onRoute(w linktest.Weather) func(*fault) error {
	return func(x *fault) error {
		x.station.route.Turn(w)
		x.wait()
		x.station.route.Turn(linktest.Weather{})
		return nil
	}
}

func cliKilled(x *fault) error {
	if cli, ok := x.station.someCLI(x.pick); ok {
		_ = cli.Kill()
	}
	return nil
}

func cliStopped(x *fault) error {
	if cli, ok := x.station.someCLI(x.pick); ok {
		_ = cli.Signal(syscall.SIGSTOP)
		x.wait()
		_ = cli.Signal(syscall.SIGCONT)
	}
	return nil
}

func ordered(variables string) func(*fault) error {
	return func(x *fault) error {
		if err := x.station.order(variables); err != nil {
			return err
		}
		x.wait()
		return x.station.order("")
	}
}

func (x *fault) wait() { <-time.After(x.lasts) }
