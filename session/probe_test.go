package session_test

import (
	"testing"

	"maxrelay/session"
)

func TestProbeTellsWhoTheCLIIs(t *testing.T) {
	cfg := realConfig(t, "http://127.0.0.1:1")
	for name, tc := range map[string]struct {
		env  map[string]string
		want session.Account
	}{
		"a key":                    {map[string]string{"ANTHROPIC_API_KEY": "sk-made-up"}, session.AccountAPIKey},
		"a subscription":           {map[string]string{"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-made-up"}, session.AccountSubscription},
		"a key and a subscription": {map[string]string{"ANTHROPIC_API_KEY": "sk-made-up", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-made-up"}, session.AccountAPIKey},
		"a gateway's token":        {map[string]string{"ANTHROPIC_AUTH_TOKEN": "made-up"}, session.AccountToken},
		"Bedrock":                  {map[string]string{"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "bedrock"},
		"Vertex":                   {map[string]string{"CLAUDE_CODE_USE_VERTEX": "1", "ANTHROPIC_VERTEX_PROJECT_ID": "p", "CLOUD_ML_REGION": "us-east5"}, "vertex"},
		"no sign-in":               {nil, session.AccountNone},
	} {
		cfg.Env = session.Environ([]string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}, "", tc.env)
		cfg.Env = append(cfg.Env, "ANTHROPIC_BASE_URL=http://127.0.0.1:1") // it waits for one that does not answer
		id, err := session.Probe(t.Context(), cfg)
		if err != nil || id.Version == "" || len(id.Models) == 0 || id.Account != tc.want || id.Account.SignedIn() != (tc.env != nil) {
			t.Errorf("with %s: %+v (%v), want %s", name, id, err, tc.want)
		}
	}
	cfg.Path = "/nonexistent/claude"
	if _, err := session.Probe(t.Context(), cfg); err == nil {
		t.Error("a CLI that is not there was probed")
	}
	cfg.Path = "/bin/false"
	if _, err := session.Probe(t.Context(), cfg); err == nil {
		t.Error("a program that is no CLI was taken for one")
	}
}
