package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

const password = "hunter2"

func TestErrorsHoldNoSecret(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
	}{
		{"a key no header carries", "auth: {api_keys: ['hunter2 x']}", nil, nil},
		{"a bad hash", "auth: {api_keys: ['sha256:hunter2']}", nil, nil},
		{"a pool's key that no header carries", "auth: {pools: {team: {api_keys: ['hunter2 x']}}}", nil, nil},
		{"a key of two pools", "auth: {api_keys: [hunter2], pools: {team: {api_keys: [hunter2]}}}", nil, nil},
		{"a key by the environment", "", []string{"MAXRELAY_AUTH_API_KEYS=a b hunter2"}, nil},
		{"a key with keys below it", "auth: {api_keys: {hunter: {hunter2: 1}}}", nil, nil},
		{"an alias out of a password", "auth: {api_keys: [*hunter2]}", nil, nil},
		{"an administrator's name and password", "admin: {username: 'admin:hunter2'}", nil, nil},
		{"a password's bad hash", "admin: {password: 'sha256:hunter2'}", nil, nil},
		{"a password of two lines", "", []string{"MAXRELAY_ADMIN_PASSWORD=hunter2\n"}, nil},
		{"a broker URL", "nats: {url: 'http://hunter2@host'}", nil, nil},
		{"a broker URL that does not parse", "nats: {url: 'nats://hunter2@host:%zz'}", nil, nil},
		{"a broker URL by a flag", "", nil, []string{"--nats-url=hunter2"}},
		{"a CLI variable", "", nil, []string{"--set=worker.cli.env.=hunter2"}},
		{"a CLI variable in a list", "worker: {cli: {env: {A: [hunter2]}}}", nil, nil},
		{"an upstream's key that no header carries", "upstream: [{url: 'https://a', api_key: 'hunter2 x'}]", nil, nil},
		{"an upstream's key with keys below it", "upstream: [{url: 'https://a', api_key: {hunter2: x}}]", nil, nil},
		{"an upstream's URL with a login", "upstream: [{url: 'https://u:hunter2@a'}]", nil, nil},
		{"an upstream's URL that does not parse", "upstream: [{url: 'https://u:hunter2@a:%zz'}]", nil, nil},
		{"a forgotten key", "", nil, []string{"--set=hunter2"}},
		{"an unknown variable's value", "", []string{"MAXRELAY_KEY=hunter2"}, nil},
		{"an expanded value", "host: ${P}", []string{"P=hunter2 x"}, nil},
		{"an expanded item", "worker: {pools: [a, '${P}']}", []string{"P=hunter2.x"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.file, tt.environ, tt.args...)
			if err == nil {
				t.Fatalf("it was accepted: %s", c)
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("the error repeats the secret: %s", err)
			}
		})
	}
}

func TestPrintedConfigHoldsNoSecret(t *testing.T) {
	c := mustLoad(t, "", nil,
		"--set=auth.api_keys=hunter2,sk-hunter2",
		"--set=auth.pools.team.api_keys=hunter2-team",
		"--set=worker.cli.env.TOKEN=hunter2",
		"--set=admin.password=hunter2",
		"--set=nats.credentials=/hunter2.creds",
		"--set=upstream.1.url=https://a", "--set=upstream.1.api_key=hunter2",
		"--nats-url=nats://hunter2@a:1,nats://u:hunter2@b:2")
	var log bytes.Buffer
	logger := zerolog.New(&log)
	logger.Info().Object("config", c).Interface("again", c).Send()

	for _, printed := range []string{c.String(), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprint(&c), log.String()} {
		if strings.Contains(printed, password) {
			t.Errorf("the secret is printed: %s", printed)
		}
		for _, want := range []string{"auth.api_keys", "auth.pools.team.api_keys", "***", "worker.cli.env.TOKEN", "nats://***@a:1,nats://***@b:2", "upstream.1.api_key", "worker.idle_ttl", "10m0s", "60%"} {
			if !strings.Contains(printed, want) {
				t.Errorf("%s is missing in %s", want, printed)
			}
		}
	}
}
