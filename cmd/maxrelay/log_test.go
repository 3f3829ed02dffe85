package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// logged returns what a logger of cfg writes into a pipe.
func logged(t *testing.T, cfg LogConfig, write func(zerolog.Logger)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(newLogger(cfg, w))
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLogFormFollowsTheReader(t *testing.T) {
	tests := []struct {
		format string
		json   bool
	}{{"auto", true}, {"json", true}, {"console", false}}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			line := logged(t, LogConfig{Format: tt.format}, func(log zerolog.Logger) {
				log.Info().Str("worker", "w1").Msg("ready")
			})
			if got := json.Valid([]byte(line)); got != tt.json {
				t.Errorf("is JSON: %t, want %t: %s", got, tt.json, line)
			}
			if !strings.Contains(line, "ready") || !strings.Contains(line, "w1") || strings.Contains(line, "\x1b") {
				t.Errorf("got %q", line)
			}
		})
	}
}

func TestLogLinesCarryMilliseconds(t *testing.T) {
	line := logged(t, LogConfig{Format: "json"}, func(log zerolog.Logger) { log.Info().Msg("") })
	var entry struct{ Time string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(logTime, entry.Time); err != nil || len(entry.Time) != len("2006-01-02T15:04:05.000Z") {
		t.Errorf("time is %q: %v", entry.Time, err)
	}
}

func TestLogLevelHoldsBackTheRest(t *testing.T) {
	before := zerolog.GlobalLevel()
	defer zerolog.SetGlobalLevel(before)
	setLogLevel("warn")
	text := logged(t, LogConfig{Format: "json"}, func(log zerolog.Logger) {
		log.Info().Msg("quiet")
		log.Warn().Msg("loud")
	})
	if strings.Contains(text, "quiet") || !strings.Contains(text, "loud") {
		t.Errorf("got %s", text)
	}
}
