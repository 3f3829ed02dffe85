package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"maxrelay/queue/trust"
)

// checkListener looks at how workers on other machines find the broker, and know it.
func (n NATSConfig) checkListener(from origins) (errs []error) {
	fail := func(key string, err error) {
		if err != nil {
			errs = append(errs, from.of("nats."+key).errorf("%w", err))
		}
	}
	if n.Advertise != "" {
		fail("advertise", checkAdvertise(n.Advertise, "api1.example.org:4222"))
	}
	fail("tls.cert", checkPair(n.TLS.Cert, n.TLS.Key, "nats.tls.key"))
	fail("tls.key", checkPair(n.TLS.Key, n.TLS.Cert, "nats.tls.cert"))
	return errs
}

// checkCluster looks at what makes this node one of several.
func (n NATSConfig) checkCluster(from origins) (errs []error) {
	c := n.Cluster
	fail := func(key string, err error) {
		if err != nil {
			errs = append(errs, from.of("nats.cluster."+key).errorf("%w", err))
		}
	}
	fail("replicas", c.checkReplicas(n.URL != ""))
	if !c.on() {
		return errs
	}
	for i, route := range c.Routes {
		fail("routes", checkRoute(route, otherNode))
		if slices.Contains(c.Routes[:i], route) {
			fail("routes", fmt.Errorf("%q stands there twice", route))
		}
	}
	switch {
	case n.URL != "":
		fail("routes", errors.New("join the brokers of API nodes, but nats.url says to use another one"))
	case n.Listen == "":
		fail("routes", errors.New("need nats.listen: workers go to another node when theirs stops"))
	case len(c.Routes) < 2:
		fail("routes", errors.New("name fewer than three nodes: of two, both would have to run, so a cluster begins with three"))
	case len(c.Routes)%2 == 0 && slices.ContainsFunc(c.Routes, c.isOwn):
		fail("routes", fmt.Errorf("name %d nodes, this one among them: an even number survives no more failures than the odd one below it", len(c.Routes)))
	}
	if !poolName.MatchString(c.Name) {
		fail("name", errors.New("is not a cluster's name: letters, digits, - and _ only"))
	}
	fail("listen", checkListen(c.Listen))
	if c.Advertise != "" {
		fail("advertise", checkAdvertise(c.Advertise, otherNode))
	}
	fail("secret", checkClusterSecret(c.Secret))
	return errs
}

func checkClusterSecret(secret string) error {
	const hint = "; `openssl rand -hex 32` makes a good one, the same for all nodes"
	switch {
	case secret == "":
		return errors.New("is missing" + hint)
	case len(secret) < trust.MinSecret:
		return fmt.Errorf("has fewer than %d characters"+hint, trust.MinSecret)
	}
	return nil
}

// checkReplicas knows how many nodes there are but for one, since a node may name itself or not.
func (c ClusterConfig) checkReplicas(elsewhere bool) error {
	switch {
	case c.Replicas != 0 && c.Replicas%2 == 0:
		return errors.New("is not an odd number: an even one survives no more failures than the odd one below it")
	case c.on() && c.Replicas > len(c.Routes)+1:
		return errors.New("is more than there are nodes")
	case c.Replicas > 1 && !c.on() && !elsewhere:
		return errors.New("needs nats.cluster.routes, or a cluster at nats.url: a broker on its own keeps everything once")
	}
	return nil
}

// isOwn tells whether a route certainly leads to this node. An alias of its own cannot be told from another node.
func (c ClusterConfig) isOwn(route string) bool {
	if route == c.Advertise || route == c.Listen {
		return true
	}
	host, port, err := net.SplitHostPort(route)
	_, own, ownErr := net.SplitHostPort(c.Listen)
	if err != nil || ownErr != nil || port != own {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

const otherNode = "api2.example.org:6222"

func checkRoute(route, like string) error {
	host, port, err := net.SplitHostPort(route)
	if n, _ := strconv.Atoi(port); err != nil || host == "" || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not an address like %s", route, like)
	}
	return nil
}

// checkAdvertise refuses what others cannot call.
func checkAdvertise(address, like string) error {
	if err := checkRoute(address, like); err != nil {
		return err
	}
	if ip := net.ParseIP(hostOf(address)); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%q is where to listen, not an address that others can call, like %s", address, like)
	}
	return nil
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // it was checked
	return host
}
