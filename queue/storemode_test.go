package queue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAStoreBelongsToOneKindOfBroker(t *testing.T) {
	for name, tc := range map[string]struct {
		file    string // content of the mode file, "" for none
		streams bool
		cluster string
		err     string // part of the error, "" for none
	}{
		"new, alone":                       {cluster: ""},
		"new, cluster":                     {cluster: "c"},
		"alone again":                      {file: `{"server":"s-1"}`, streams: true},
		"cluster again":                    {file: `{"cluster":"c","server":"s-1"}`, streams: true, cluster: "c"},
		"alone, then cluster":              {file: `{"server":"s-1"}`, cluster: "c", err: "From one node to three"},
		"cluster, then alone":              {file: `{"cluster":"c","server":"s-1"}`, err: `belongs to a node of the cluster "c"`},
		"cluster, then another":            {file: `{"cluster":"c","server":"s-1"}`, cluster: "d", err: "would be wiped"},
		"older than the file, alone":       {streams: true},
		"older than the file, cluster":     {streams: true, cluster: "c", err: "belongs to a broker on its own"},
		"a file nobody wrote":              {file: `{`, err: modeFile},
		"a server name that is no subject": {file: `{"server":"a b"}`, err: modeFile},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tc.streams {
				if err := os.Mkdir(filepath.Join(dir, "jetstream"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if tc.file != "" {
				if err := os.WriteFile(filepath.Join(dir, modeFile), []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			server, err := claimStore(dir, tc.cluster, "box.example.org")
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("err = %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := "box-example-org-"; tc.file == "" && !strings.HasPrefix(server, want) || tc.file != "" && server != "s-1" {
				t.Errorf("server %q", server)
			}
			if again, err := claimStore(dir, tc.cluster, "renamed"); err != nil || again != server {
				t.Errorf("opened again: %q, %v", again, err)
			}
		})
	}
}

func TestNoStreamIsLostToAWrongSetting(t *testing.T) {
	t.Parallel()
	cfg := BrokerConfig{StoreDir: filepath.Join(t.TempDir(), "nats")}
	open := func() (*Broker, jetstream.JetStream) {
		b, err := OpenBroker(testContext(t), cfg, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		return b, connectJS(t, b)
	}
	b, js := open()
	if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "MINE"}); err != nil {
		t.Fatal(err)
	}
	b.Close()

	wrong := clusterConfigs(t)[0]
	wrong.StoreDir = cfg.StoreDir
	_, err := OpenBroker(testContext(t), wrong, testLog(t))
	if _, ok := errors.AsType[errOtherMode](err); !ok {
		t.Fatalf("opened in a cluster: %v", err)
	}
	b, js = open()
	defer b.Close()
	if _, err := js.Stream(testContext(t), "MINE"); err != nil {
		t.Errorf("the stream afterwards: %v", err)
	}
}

func connectJS(t testing.TB, b *Broker) jetstream.JetStream {
	t.Helper()
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
