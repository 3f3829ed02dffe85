package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// configFlags are the keys with a flag of their own; --set reaches the others.
var configFlags = []struct{ flag, key, usage string }{
	{"host", "host", "`address` to serve HTTP on"},
	{"port", "port", "`port` to serve HTTP on, 0 picks a free one"},
	{"data-dir", "data_dir", "`folder` for the broker's store and generated secrets"},
	{"nats-url", "nats.url", "`URL` of a NATS cluster to use instead of the embedded broker"},
	{"claude", "worker.cli.path", "`path` of the claude CLI"},
	{"log-level", "log.level", "trace, debug, info, warn or error"},
}

// registerFlags adds the flags that LoadConfig reads.
func registerFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "`path` of the configuration file (default ./config.yaml when it exists)")
	for _, f := range configFlags {
		// All are texts, so that a value reads the same and fails the same wherever it comes from.
		flags.String(f.flag, "", f.usage)
	}
	flags.StringArray("set", nil, "any other key of the configuration, as `key=value`; may be repeated")
}

func flagSettings(flags *pflag.FlagSet) ([]setting, error) {
	var found settings
	for _, f := range configFlags {
		if flags.Changed(f.flag) {
			found.add(namedSetting(f.key, ".", configKey.name, flags.Lookup(f.flag).Value.String(), "--"+f.flag))
		}
	}
	if !flags.Changed("set") {
		return found.result()
	}
	assignments, err := flags.GetStringArray("set")
	if err != nil {
		return nil, err
	}
	for _, assignment := range assignments {
		key, text, ok := strings.Cut(assignment, "=")
		if !ok {
			// Not repeated: it may be a secret whose key was forgotten.
			found.add(setting{}, errors.New("--set: write key=value"))
			continue
		}
		found.add(namedSetting(key, ".", configKey.name, text, "--set "+key))
	}
	return found.result()
}

// environSettings refuses a variable with our prefix that is no key: a typing error would go unnoticed otherwise.
func environSettings(environ []string) ([]setting, error) {
	var found settings
	for _, assignment := range environ {
		name, text, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, envPrefix) || name == configVariable {
			continue
		}
		s, err := namedSetting(name, "_", configKey.variable, text, name)
		if s.key.member != nil {
			s.entry = strings.ToLower(s.entry) // a section's name, like all names of sections here
		}
		found.add(s, err)
	}
	return found.result()
}

// namedSetting is one from a source whose names are flat; see findKey.
func namedSetting(name, separator string, spell func(configKey) string, text, where string) (setting, error) {
	k, entry, err := findKey(name, separator, spell)
	if err != nil {
		return setting{}, origin{where: where}.errorf("%w", err)
	}
	return newSetting(k, entry, text, origin{where: where, hidden: k.isSecret()})
}

func defaultSettings() []setting {
	var all []setting
	for _, k := range configKeys {
		for entry, value := range k.entries(defaultConfig()) {
			all = append(all, setting{key: k, entry: entry, value: value})
		}
	}
	return all
}

const configVariable = envPrefix + "CONFIG"

// fileSettings reads the file that was asked for, or ./config.yaml when there is one.
func fileSettings(flags *pflag.FlagSet, environ []string) ([]setting, error) {
	env := environTable(environ)
	asked, by := env[configVariable], configVariable
	if f := flags.Lookup("config"); f != nil && f.Value.String() != "" {
		asked, by = f.Value.String(), "--config"
	}
	path := cmp.Or(asked, "config.yaml")
	text, err := os.ReadFile(path)
	switch {
	case asked == "" && errors.Is(err, os.ErrNotExist):
		return nil, nil
	case asked == "" && err != nil:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", by, err)
	}
	return parseFile(path, text, env)
}

func environTable(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, assignment := range environ {
		name, value, _ := strings.Cut(assignment, "=")
		env[name] = value
	}
	return env
}

// tree nests settings as a source's confmap. A later setting of a key replaces an earlier one.
func tree(source []setting) map[string]any {
	root := map[string]any{}
	for _, s := range source {
		path := s.key.at(s.entry)
		node, last := root, len(path)-1
		for _, section := range path[:last] {
			child, ok := node[section].(map[string]any)
			if !ok {
				child = map[string]any{}
				node[section] = child
			}
			node = child
		}
		node[path[last]] = s.value
	}
	return root
}
