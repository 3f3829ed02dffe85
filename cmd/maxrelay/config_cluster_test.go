package main

import (
	"strings"
	"testing"
)

func TestAClusterIsCheckedBeforeItStarts(t *testing.T) {
	const secret = "a-secret-of-thirty-two-characters"
	for name, tt := range map[string]struct{ nats, want string }{
		"a secret of the past":   {"cluster: {routes: [a:1, b:1], secret: short}", "nats.cluster.secret: has fewer than 32 characters"},
		"no secret":              {"cluster: {routes: [a:1, b:1]}", "nats.cluster.secret: is missing; `openssl"},
		"two nodes":              {"cluster: {routes: [a:1], secret: " + secret + "}", "nats.cluster.routes: name fewer than three nodes"},
		"a route without a port": {"cluster: {routes: [a, b:1], secret: " + secret + "}", `nats.cluster.routes: "a" is not an address like`},
		"a route to no host":     {"cluster: {routes: [':1', b:1], secret: " + secret + "}", `nats.cluster.routes: ":1" is not an address like`},
		"a broker elsewhere":     {"url: 'nats://n:1', cluster: {routes: [a:1, b:1], secret: " + secret + "}", "but nats.url says to use another one"},
		"no listener":            {"listen: '', cluster: {routes: [a:1, b:1], secret: " + secret + "}", "need nats.listen"},
		"an even number":         {"cluster: {replicas: 2}", "nats.cluster.replicas: is not an odd number"},
		"replicas without nodes": {"cluster: {replicas: 3}", "nats.cluster.replicas: needs nats.cluster.routes, or a cluster at nats.url"},
		"a node twice":           {"cluster: {routes: [a:1, b:1, a:1], secret: " + secret + "}", `nats.cluster.routes: "a:1" stands there twice`},
		"four, told as it is":    {"cluster: {routes: [a:1, b:1, c:1, d:1], advertise: 'd:1', secret: " + secret + "}", "nats.cluster.routes: name 4 nodes, this one among them"},
		"four, one on loopback":  {"cluster: {routes: [a:1, b:1, c:1, '127.0.0.1:6222'], secret: " + secret + "}", "nats.cluster.routes: name 4 nodes, this one among them"},
		"told to every address":  {"cluster: {routes: [a:1, b:1], advertise: '[::]:6222', secret: " + secret + "}", `nats.cluster.advertise: "[::]:6222" is where to listen`},
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

// A node may leave itself out of the routes, or name itself by an alias.
func TestOddClustersAreTaken(t *testing.T) {
	for name, cluster := range map[string]string{
		"two others":               "routes: [a:1, b:1]",
		"three with this one":      "routes: [a:1, b:1, c:1], advertise: 'c:1'",
		"four others":              "routes: [a:1, b:1, c:1, d:1], advertise: 'e:1'",
		"four others on a machine": "routes: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3', '127.0.0.1:4'], listen: '127.0.0.1:5'",
		"five, one an alias":       "routes: [a:1, b:1, c:1, d:1, alias:6222]",
	} {
		if _, err := load(t, "nats: {cluster: {"+cluster+", secret: a-secret-of-thirty-two-characters}}", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load(t, "nats: {url: 'nats://n:1', cluster: {replicas: 3}}", nil); err != nil {
		t.Errorf("three replicas in a cluster elsewhere: %v", err)
	}
}
