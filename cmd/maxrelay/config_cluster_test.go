package main

import (
	"strings"
	"testing"
)

func TestAClusterIsCheckedBeforeItStarts(t *testing.T) {
	const secret = "a-secret-of-thirty-two-characters"
	for name, tt := range map[string]struct{ nats, want string }{
		"a secret of the past":   {"cluster: {routes: [a:1, b:1], secret: short}", "nats.cluster.secret: has fewer than 32 characters"},
		"no secret":              {"cluster: {routes: [a:1, b:1]}", "nats.cluster.secret: has fewer than 32 characters"},
		"two nodes":              {"cluster: {routes: [a:1], secret: " + secret + "}", "nats.cluster.routes: name fewer than three nodes"},
		"a route without a port": {"cluster: {routes: [a, b:1], secret: " + secret + "}", `nats.cluster.routes: "a" is not an address like`},
		"a route to no host":     {"cluster: {routes: [':1', b:1], secret: " + secret + "}", `nats.cluster.routes: ":1" is not an address like`},
		"a broker elsewhere":     {"url: 'nats://n:1', cluster: {routes: [a:1, b:1], secret: " + secret + "}", "but nats.url says to use another one"},
		"no listener":            {"listen: '', cluster: {routes: [a:1, b:1], secret: " + secret + "}", "need nats.listen"},
		"an even number":         {"cluster: {replicas: 2}", "nats.cluster.replicas: is not an odd number"},
		"more than nodes":        {"cluster: {routes: [a:1, b:1], replicas: 5, secret: " + secret + "}", "nats.cluster.replicas: is more than there are nodes"},
		"no port to listen at":   {"cluster: {routes: [a:1, b:1], listen: a, secret: " + secret + "}", "nats.cluster.listen: "},
		"told to nobody":         {"cluster: {routes: [a:1, b:1], advertise: a, secret: " + secret + "}", `nats.cluster.advertise: "a" is not an address like`},
		"a name of two words":    {"cluster: {routes: [a:1, b:1], name: a b, secret: " + secret + "}", "nats.cluster.name: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "nats: {"+tt.nats+"}", nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}
