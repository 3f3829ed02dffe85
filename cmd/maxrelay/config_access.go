package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"maxrelay/api/key"
)

// checkAccess looks at who may manage, whose word is taken, and what HTTP is encrypted
// with.
func (c Config) checkAccess(from origins) (errs []error) {
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, from.of(name).errorf("%w", err))
		}
	}
	check("admin.username", checkUsername(c.Admin.Username))
	check("admin.password", checkPassword(c.Admin.Password))
	check("admin.allowed_ips", checkNetworks(c.Admin.AllowedIPs))
	check("trusted_proxies", checkProxies(c.Proxies))
	check("tls.cert", checkPair(c.TLS.Cert, c.TLS.Key, "tls.key"))
	check("tls.key", checkPair(c.TLS.Key, c.TLS.Cert, "tls.cert"))
	return errs
}

// check looks at the keys of every pool. A key belongs to one of them.
func (c AuthConfig) check(from origins) (errs []error) {
	pools := map[string]string{} // of each key, by the name of where it stands
	list := func(name string, keys []string) {
		for i, secret := range keys {
			err := checkAPIKey(secret)
			if other := cmp.Or(pools[secret], name); err == nil && other != name {
				err = errors.New("stands in " + other + " too")
			}
			if err != nil {
				errs = append(errs, from.of(name).errorf("key %d %w", i+1, err))
			}
			pools[secret] = name
		}
	}
	list("auth.api_keys", c.APIKeys)
	for _, pool := range slices.Sorted(maps.Keys(c.Pools)) {
		name := "auth.pools." + pool + ".api_keys"
		if err := checkPool(pool); err != nil {
			errs = append(errs, from.of(name).errorf("%q %w", pool, err))
		}
		list(name, c.Pools[pool].APIKeys)
	}
	return errs
}

// checkUsername refuses what HTTP Basic cannot carry (RFC 7617, section 2).
func checkUsername(name string) error {
	if name == "" || strings.Contains(name, ":") || strings.ContainsFunc(name, unicode.IsControl) {
		return errors.New("is not a user's name: it must not be empty or hold a colon")
	}
	return nil
}

func checkPassword(password string) error {
	if digits, ok := strings.CutPrefix(password, hashedSecret); ok {
		return checkHash(digits)
	}
	if strings.ContainsFunc(password, unicode.IsControl) {
		return errors.New("holds control characters")
	}
	return nil
}

func checkNetworks(texts []string) error {
	_, err := key.ParseNetworks(texts)
	return err
}

// checkProxies refuses to trust everybody: then everybody could say to be anybody.
func checkProxies(texts []string) error {
	networks, err := key.ParseNetworks(texts)
	if err != nil {
		return err
	}
	for i, n := range networks {
		if n.Bits() == 0 {
			return fmt.Errorf("entry %d trusts everybody", i+1)
		}
	}
	return nil
}

func checkPair(file, other, otherKey string) error {
	if file != "" && other == "" {
		return errors.New("needs " + otherKey + " beside it")
	}
	return nil
}
