package main

import (
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// logTime is RFC 3339 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// newLogger writes for people when w is a terminal, JSON otherwise, unless cfg names the form.
func newLogger(cfg LogConfig, w *os.File) zerolog.Logger {
	terminal := isatty.IsTerminal(w.Fd())
	log := zerolog.New(w)
	if cfg.Format == "console" || cfg.Format != "json" && terminal {
		log = log.Output(zerolog.ConsoleWriter{Out: w, NoColor: !terminal || os.Getenv("NO_COLOR") != "", TimeFormat: logTime})
	}
	return log.Hook(zerolog.HookFunc(stamp))
}

// setLogLevel sets the level of the whole process, whose loggers have none of their own:
// it changes while they are in use.
func setLogLevel(name string) {
	level, err := zerolog.ParseLevel(name)
	if err != nil || level == zerolog.NoLevel {
		level = zerolog.InfoLevel
	}
	zerolog.SetGlobalLevel(level)
}

// stamp stands in for zerolog's own Timestamp, whose form is a variable of the whole process.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(logTime))
}
