package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// keyCommand does over HTTP what the management API does. The password is never an
// argument, which other users of the machine could read.
func keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "key", Short: "Make, look at and change API keys of a running node", Args: cobra.NoArgs,
		Long: "Make, look at and change API keys of a running node.\n\n" +
			"The node's address and the administrator's password come from the configuration, or the password from\n" +
			"the file admin.password in the data folder.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	managingFlags(c.PersistentFlags())
	c.AddCommand(createKeyCommand(), listKeysCommand(), showKeyCommand(), updateKeyCommand(),
		switchKeyCommand("disable", "Refuse a key from now on"), switchKeyCommand("enable", "Accept a disabled key again"),
		deleteKeyCommand(), rotateKeyCommand())
	return c
}

// managingFlags are those of commands that ask a running node.
func managingFlags(f *pflag.FlagSet) {
	f.Bool("json", false, "print what the node answered, as JSON")
	f.String("url", "", "`URL` of another node than the configuration's")
}

// managing makes a command of what it asks the node and how people are shown the answer.
func managing(ask func(*cobra.Command, *manager, []string) ([]byte, error), show func(*cobra.Command, []byte) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cfg, err := LoadConfig(c.Flags(), os.Environ())
		if err != nil {
			return err
		}
		address, _ := c.Flags().GetString("url") // of a flag that is there
		m, err := signIn(c.Context(), cfg, address)
		if err != nil {
			return err
		}
		defer m.close()
		answer, err := ask(c, m, args)
		if err != nil {
			return err
		}
		if asJSON, _ := c.Flags().GetBool("json"); asJSON {
			_, err := c.OutOrStdout().Write(answer)
			return err
		}
		return show(c, answer)
	}
}

func createKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Make a key; its secret is printed this once", Args: cobra.ExactArgs(1)}
	settingFlags(c.Flags())
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		body, err := settingsOf(c.Flags())
		if err != nil {
			return nil, err
		}
		body["name"] = args[0]
		return m.ask(c.Context(), http.MethodPost, keysPath, body)
	}, showSecret)
	return c
}

func listKeysCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys, newest first", Args: cobra.NoArgs}
	c.Flags().Bool("deleted", false, "deleted ones too")
	c.Flags().Int("skip", 0, "leave out the newest `n`")
	c.Flags().Int("limit", 1000, "at most `n`")
	c.RunE = managing(func(c *cobra.Command, m *manager, _ []string) ([]byte, error) {
		query := url.Values{}
		query.Set("include_deleted", c.Flag("deleted").Value.String())
		query.Set("skip", c.Flag("skip").Value.String())
		query.Set("limit", c.Flag("limit").Value.String())
		return m.ask(c.Context(), http.MethodGet, keysPath+"?"+query.Encode(), nil)
	}, showList)
	return c
}

func showKeyCommand() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show all of a key but its secret", Args: cobra.ExactArgs(1),
		RunE: managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
			return m.ask(c.Context(), http.MethodGet, pathOf(args[0]), nil)
		}, showKey)}
}

func updateKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "update ID", Short: "Change what flags are given for", Args: cobra.ExactArgs(1)}
	c.Flags().String("name", "", "new `name`")
	settingFlags(c.Flags())
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		body, err := settingsOf(c.Flags())
		if err != nil {
			return nil, err
		}
		if len(body) == 0 {
			return nil, errors.New("nothing to change: give a flag")
		}
		return m.ask(c.Context(), http.MethodPatch, pathOf(args[0]), body)
	}, showKey)
	return c
}

// switchKeyCommand is disable or enable, which are also the names of the routes.
func switchKeyCommand(action, short string) *cobra.Command {
	return &cobra.Command{Use: action + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
			return m.ask(c.Context(), http.MethodPost, pathOf(args[0])+"/"+action, nil)
		}, showMessage)}
}

func deleteKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "delete ID", Short: "Refuse a key for good; its usage stays in the books", Args: cobra.ExactArgs(1)}
	c.Flags().Bool("hard", false, "forget the key's name and settings too")
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		return m.ask(c.Context(), http.MethodDelete, pathOf(args[0])+"?hard_delete="+c.Flag("hard").Value.String(), nil)
	}, showMessage)
	return c
}

func rotateKeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "rotate ID", Short: "Give a key a new secret, printed this once", Args: cobra.ExactArgs(1)}
	c.Flags().String("grace", "24h", "how `long` the old secret still works; 0 ends it at once")
	c.RunE = managing(func(c *cobra.Command, m *manager, args []string) ([]byte, error) {
		return m.ask(c.Context(), http.MethodPost, pathOf(args[0])+"/rotate?grace="+url.QueryEscape(c.Flag("grace").Value.String()), nil)
	}, showSecret)
	return c
}

const keysPath = "/api-keys"

func pathOf(id string) string { return keysPath + "/" + url.PathEscape(id) }

func settingFlags(f *pflag.FlagSet) {
	f.String("description", "", "`text` for people")
	f.String("pool", "default", "whose workers serve the key: their pool's `name`")
	f.Int64("token-limit", 0, "`tokens` of its whole life (new keys: 1000000)")
	f.String("tier", "", "`name` of its request rate (new keys: basic)")
	f.Int("expires-in-days", 0, "`days` from now")
	f.String("expires-at", "", "`time` like 2030-01-31T12:00:00Z, or never")
	f.StringSlice("allowed-ips", nil, "`addresses` and CIDR ranges that may use it, with commas; empty for all")
	f.StringSlice("allowed-origins", nil, "`origins` of web pages that may use it; then nothing else may")
	f.StringSlice("allowed-models", nil, "`models` it may ask for; empty for all")
	f.String("metadata", "", "a JSON `object`")
}

// settingNames are the flags that say a key's settings, and what the API calls them.
var settingNames = map[string]string{
	"name": "name", "description": "description", "pool": "pool", "token-limit": "token_limit", "tier": "rate_limit_tier",
	"expires-in-days": "expires_in_days", "expires-at": "expires_at", "allowed-ips": "allowed_ips",
	"allowed-origins": "allowed_origins", "allowed-models": "allowed_models", "metadata": "metadata",
}

// settingsOf returns what the flags that were given say. Whether it is right the node
// decides.
func settingsOf(f *pflag.FlagSet) (body map[string]any, err error) {
	body = map[string]any{}
	f.Visit(func(flag *pflag.Flag) {
		name, isSetting := settingNames[flag.Name]
		if !isSetting {
			return
		}
		value, wrong := settingOf(flag)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("--%s: %w", flag.Name, wrong))
		}
		body[name] = value
	})
	return body, err
}

func settingOf(flag *pflag.Flag) (any, error) {
	text := flag.Value.String()
	switch {
	case flag.Name == "metadata" && !json.Valid([]byte(text)):
		return nil, errors.New("is not JSON")
	case flag.Name == "metadata":
		return json.RawMessage(text), nil
	case flag.Name == "expires-at" && strings.EqualFold(text, "never"):
		return nil, nil
	}
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return list.GetSlice(), nil
	}
	if flag.Value.Type() == "string" {
		return text, nil
	}
	return strconv.ParseInt(text, 10, 64)
}
