package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"maxrelay/api/limit"
)

// origins tells for each key, a table's entry included, where its value came from.
type origins map[string]origin

func (o origins) add(source []setting) {
	for _, s := range source {
		o[s.key.nameIn(s.entry)] = s.origin
	}
}

// of names the key itself for a default, which stands nowhere.
func (o origins) of(key string) origin {
	at := o[key]
	if at.where == "" {
		at.where = key
	}
	return at
}

// check looks at what no single key's type can tell. Its errors complete a sentence like parseValue's.
func (c Config) check(from origins) error {
	var errs []error
	text := func(key, value string, check func(string) error) {
		at := from.of(key)
		if err := check(value); err != nil {
			errs = append(errs, at.errorf("%s %w", at.show(value), err))
		}
	}
	text("host", c.Host, c.checkHost)
	text("data_dir", c.DataDir, checkGiven)
	text("nats.url", c.NATS.URL, checkBrokers)
	text("nats.listen", c.NATS.Listen, checkListen)
	errs = append(errs, c.NATS.checkListener(from)...)
	errs = append(errs, c.NATS.checkCluster(from)...)
	text("metrics.address", c.Metrics.Address, checkListen)
	text("admin.address", c.Admin.Address, checkListen)
	text("worker.cli.path", c.Worker.CLI.Path, checkGiven)
	for _, id := range slices.Sorted(maps.Keys(c.Models)) {
		text("models."+id, id, checkWord)
		text("models."+id, c.Models[id], checkWord)
	}
	for _, pool := range c.Worker.Pools {
		text("worker.pools", pool, checkPool)
	}
	if len(c.Worker.Pools) == 0 {
		errs = append(errs, from.of("worker.pools").errorf("the worker needs at least one pool"))
	}
	errs = append(errs, c.Auth.check(from)...)
	errs = append(errs, c.checkAccess(from)...)
	errs = append(errs, c.checkTiers(from)...)
	errs = append(errs, c.checkUpstreams(from)...)
	for _, page := range c.CORS.Origins {
		text("cors.origins", page, checkOrigin)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Worker.CLI.Env)) {
		if err := checkVariable(name, c.Worker.CLI.Env[name]); err != nil {
			errs = append(errs, from.of("worker.cli.env."+name).errorf("%w", err))
		}
	}
	return errors.Join(errs...)
}

func checkGiven(text string) error {
	if text == "" {
		return errors.New("must not be empty")
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// checkHost counts a name other than localhost as open, since what it resolves to may change.
func (c Config) checkHost(host string) error {
	address, err := netip.ParseAddr(host)
	switch {
	case err != nil && !hostName.MatchString(host):
		return errors.New("is not an address or host name (the port has its own key)")
	case c.Auth.Enabled || host == "localhost" || address.IsLoopback():
		return nil
	}
	return errors.New("is open to other machines while auth.enabled is false: " +
		"set auth.enabled, or serve on 127.0.0.1")
}

// checkBrokers takes a list, as NATS clients do.
func checkBrokers(list string) error {
	for _, text := range splitList(list) {
		// url.Parse's own error repeats the URL with its password.
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("is not a URL like nats://host:4222")
		}
	}
	return nil
}

// checkOrigin takes what browsers send as Origin: scheme, host and port.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || text != u.Scheme+"://"+u.Host {
		return errors.New("is not an origin like https://chat.example.org")
	}
	return nil
}

func checkListen(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return errors.New("is not an address like 127.0.0.1:4222")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("has no port between 0 and 65535")
	}
	return nil
}

func checkWord(text string) error {
	if text == "" || strings.ContainsFunc(text, isSpaceOrControl) {
		return errors.New("is not a model's name: it must not be empty or hold spaces")
	}
	return nil
}

func isSpaceOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// A pool's name becomes a token of a NATS subject.
var poolName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkPool(name string) error {
	if !poolName.MatchString(name) {
		return errors.New("is not a pool's name: letters, digits, - and _ only")
	}
	return nil
}

const hashedSecret = "sha256:"

func checkAPIKey(key string) error {
	if digits, ok := strings.CutPrefix(key, hashedSecret); ok {
		return checkHash(digits)
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return isSpaceOrControl(r) || r > 0x7e }) {
		return errors.New("cannot be sent in a header: it is empty, or holds spaces or letters outside ASCII")
	}
	return nil
}

func checkHash(digits string) error {
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("needs %d hex digits after %s", hex.EncodedLen(sha256.Size), hashedSecret)
	}
	return nil
}

func checkVariable(name, value string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
		return errors.New("is not a variable that a process can be given")
	}
	return nil
}

// A tier's name is told by the API.
var tierName = regexp.MustCompile(`^[a-z0-9_-]{1,40}$`)

func (c Config) checkTiers(from origins) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(c.Limit.ByTier)) {
		key := "rate_limit.by_tier." + name
		tier := c.Limit.ByTier[name]
		if _, given := from[key+".requests"]; !given {
			errs = append(errs, from.of(key+".period").errorf("needs a number of requests beside it; 0 is no limit"))
			continue
		}
		if !tierName.MatchString(name) {
			errs = append(errs, from.of(key+".requests").errorf("%q is not a tier's name: small letters, digits, - and _ only", name))
		}
		if err := (limit.Config{}).CheckRate(tier.rate()); err != nil {
			errs = append(errs, from.of(key+".period").errorf("%w", err))
		}
	}
	return errs
}

func (c Config) checkUpstreams(from origins) (errs []error) {
	named := make(map[string]bool)
	for i, u := range c.Forward {
		key := "upstream." + strconv.Itoa(i+1)
		if err := u.upstream().Check(); err != nil {
			errs = append(errs, from.of(key+".url").errorf("%w", err))
		}
		if u.Name != "" && (!upstreamName.MatchString(u.Name) || named[u.Name]) {
			errs = append(errs, from.of(key+".name").errorf("%q is not a name of its own: letters, digits, ., - and _ only", u.Name))
		}
		named[u.Name] = true
	}
	return errs
}

var upstreamName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
