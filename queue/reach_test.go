package queue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"maxrelay/queue/trust"
)

// What an operator has to mend is named: the setting, what it holds, and what is wrong with it.
func TestABrokerThatCannotStartNamesTheSetting(t *testing.T) {
	taken := startBroker(t).Addr().String()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "gone")
	free := freeAddress(t)
	for name, tt := range map[string]struct {
		setting string
		want    []string
		cfg     BrokerConfig
	}{
		"nobody at the URL":         {"url", []string{free, "connection refused"}, BrokerConfig{URL: "nats://user:hunter2@" + free}},
		"no file of credentials":    {"credentials", []string{gone, "no such file"}, BrokerConfig{URL: "nats://" + free, Credentials: gone}},
		"a port that is taken":      {"listen", []string{taken, "address already in use"}, BrokerConfig{Listen: taken}},
		"a cluster's port is taken": {"cluster.listen", []string{taken, "address already in use"}, BrokerConfig{Listen: "127.0.0.1:0", Cluster: ClusterConfig{Name: "c", Listen: taken, Routes: []string{free, taken}, Secret: testSecret}}},
		"a store in a file":         {"store", []string{file, "not a directory"}, BrokerConfig{Listen: "127.0.0.1:0", StoreDir: filepath.Join(file, "nats")}},
		"a token that is too short": {"token_file", []string{file}, BrokerConfig{Listen: "127.0.0.1:0", TokenFile: file}},
		"no certificate":            {"tls.cert", []string{gone, "no such file"}, BrokerConfig{Listen: "127.0.0.1:0", TLS: TLSConfig{SecretFile: gone + "s", Cert: gone, Key: file}}},
		"no key of it":              {"tls.key", []string{gone, "no such file"}, BrokerConfig{Listen: "127.0.0.1:0", TLS: TLSConfig{SecretFile: gone + "s", Cert: file, Key: gone}}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tt.cfg
			if cfg.StoreDir == "" {
				cfg.StoreDir = filepath.Join(t.TempDir(), "nats")
			}
			if cfg.TokenFile == "" {
				cfg.TokenFile = filepath.Join(t.TempDir(), "token")
			}
			b, err := OpenBroker(testContext(t), cfg, testLog(t))
			if err == nil {
				b.Close()
				t.Fatal("it started")
			}
			s, ok := errors.AsType[*SettingError](err)
			if !ok || s.Setting != tt.setting {
				t.Fatalf("got %v of %+v, want one of %s", err, s, tt.setting)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("it says %q, without %q", err, want)
				}
			}
		})
	}
}

func TestJoiningNobodySaysWhy(t *testing.T) {
	free := freeAddress(t)
	_, err := Join(testContext(t), Invitation{URLs: []string{free}, Name: "w", Secret: "s"})
	if err == nil || !strings.Contains(err.Error(), free) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it says %v", err)
	}
}

func TestAJoinedWorkerIsTriedOnce(t *testing.T) {
	_, r := startOpenBroker(t)
	c := join(t, r, "w", "default")
	if err := TryMember(c); err != nil {
		t.Errorf("one that is admitted: %v", err)
	}
	stranger, away := c, c
	stranger.Anchor.Pin = "another"
	away.URLs = []string{freeAddress(t)}
	if err := TryMember(stranger); !errors.Is(err, trust.ErrStranger) {
		t.Errorf("a node of another authority: %v", err)
	}
	if err := TryMember(away); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody there: %v", err)
	}
	away.URLs = append(away.URLs, c.URLs...)
	if err := TryMember(away); err != nil {
		t.Errorf("the second of two nodes: %v", err)
	}
	if err := r.Revoke(testContext(t), "w"); err != nil {
		t.Fatal(err)
	}
	if err := TryMember(c); !errors.Is(err, errNotAdmitted) {
		t.Errorf("one that was revoked: %v", err)
	}
}
