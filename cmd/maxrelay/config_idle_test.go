package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/queue"
)

func TestAnErrorOfTheBrokerBeginsWithItsKey(t *testing.T) {
	if err := bySetting(&queue.SettingError{Setting: "cluster.listen", Err: errors.New("taken")}); err.Error() != "nats.cluster.listen: taken" {
		t.Errorf("got %q", err)
	}
	if plain := errors.New("plain"); bySetting(plain) != plain {
		t.Error("another error was changed")
	}
}

func TestSettingsWithoutEffectAreNamedAtTheStart(t *testing.T) {
	const nodes = "routes: [a:1, b:1], secret: a-secret-of-thirty-two-characters"
	for name, tt := range map[string]struct{ file, want string }{
		"the defaults":                        {"", ""},
		"a cluster's secret alone":            {"nats: {cluster: {secret: hunter2}}", "nats.cluster.secret"},
		"a cluster's listener alone":          {"nats: {cluster: {listen: '127.0.0.1:1'}}", "nats.cluster.listen"},
		"credentials for the built-in broker": {"nats: {credentials: hunter2}", "nats.credentials"},
		"credentials for another":             {"nats: {url: 'nats://n:1', credentials: c}", ""},
		"pools where nobody needs a key":      {"auth: {pools: {team: {api_keys: [hunter2]}}}", "auth.pools"},
		"pools":                               {"auth: {enabled: true, pools: {team: {api_keys: [k]}}}", ""},
		"a cluster of many passwords":         {"nats: {cluster: {" + nodes + "}}", "admin.password"},
		"a cluster":                           {"nats: {cluster: {" + nodes + "}}\nadmin: {password: hunter2}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			tell(zerolog.New(&log), mustLoad(t, tt.file, nil).notices())
			named := tt.want == "" && log.Len() == 0 || tt.want != "" && strings.Contains(log.String(), `"key":"`+tt.want+`"`) && strings.Count(log.String(), "\n") == 1
			if !named || strings.Contains(log.String(), "hunter2") {
				t.Errorf("logged %q, want a line of %q", log.String(), tt.want)
			}
		})
	}
}
