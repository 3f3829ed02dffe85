package main

import (
	"errors"
	"fmt"
	"net"
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
		fail("advertise", checkRoute(n.Advertise))
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
	fail("replicas", c.checkReplicas())
	if !c.on() {
		return errs
	}
	for _, route := range c.Routes {
		fail("routes", checkRoute(route))
	}
	switch {
	case n.URL != "":
		fail("routes", errors.New("join the brokers of API nodes, but nats.url says to use another one"))
	case n.Listen == "":
		fail("routes", errors.New("need nats.listen: workers go to another node when theirs stops"))
	case len(c.Routes) < 2:
		fail("routes", errors.New("name fewer than three nodes: of two, both would have to run, so a cluster begins with three"))
	}
	if !poolName.MatchString(c.Name) {
		fail("name", errors.New("is not a cluster's name: letters, digits, - and _ only"))
	}
	fail("listen", checkListen(c.Listen))
	if c.Advertise != "" {
		fail("advertise", checkRoute(c.Advertise))
	}
	if len(c.Secret) < trust.MinSecret {
		fail("secret", fmt.Errorf("has fewer than %d characters; `openssl rand -hex 32` makes a good one, the same for all nodes", trust.MinSecret))
	}
	return errs
}

// checkReplicas knows how many nodes there are but for one, since a node may name itself or not.
func (c ClusterConfig) checkReplicas() error {
	if c.Replicas != 0 && c.Replicas%2 == 0 {
		return errors.New("is not an odd number: an even one survives no more failures than the odd one below it")
	}
	if c.on() && c.Replicas > len(c.Routes)+1 {
		return errors.New("is more than there are nodes")
	}
	return nil
}

func checkRoute(route string) error {
	host, port, err := net.SplitHostPort(route)
	if n, _ := strconv.Atoi(port); err != nil || host == "" || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not an address like api2.example.org:6222", route)
	}
	return nil
}
