package session

import (
	"maps"
	"slices"
	"strings"
)

// passed lists the variables of the host that a child may see: where it lives, how it
// reaches the network, and the CLI's own documented sign-ins. Nothing else of the
// operator's environment reaches a child.
var passed = []string{
	"HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "LANG",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
	"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR",
	"CLAUDE_CODE_USE_BEDROCK", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK",
	"CLAUDE_CODE_USE_VERTEX", "CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_APPLICATION_CREDENTIALS",
}

// lean makes the CLI a chat model and nothing else, and leaves retries to the owner of
// the job. Each is a correctness or safety switch, so an operator's own settings never
// override them.
var lean = map[string]string{
	"DISABLE_AUTOUPDATER":                       "1",
	"DISABLE_TELEMETRY":                         "1",
	"DISABLE_ERROR_REPORTING":                   "1",
	"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC":  "1",
	"CLAUDE_CODE_DISABLE_FILE_MENTIONS":         "1",          // second belt: client_composed is the first
	"CLAUDE_CODE_DISABLE_ATTACHMENTS":           "1",          // no reminders added to messages
	"CLAUDE_CODE_TOTAL_TOKENS_REMINDER":         "off",        // nor this one, on older models
	"CLAUDE_CODE_ATTRIBUTION_ANNOUNCEMENT":      "0",          // nor one on commits beside a tool named Bash
	"DISABLE_AUTO_COMPACT":                      "1",          // the history is never rewritten
	"CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",          // no second, hidden call after a broken stream
	"CLAUDE_CODE_DISABLE_REFUSAL_RETRY":         "1",          // nor after a refusal
	"CLAUDE_CODE_MAX_RETRIES":                   "0",          // only the owner knows whether bytes were shown
	"ENABLE_TOOL_SEARCH":                        "false",      // a client's tools are sent as they are
	"CLAUDE_AGENT_SDK_MCP_NO_PREFIX":            "1",          // under their own names
	"CLAUDE_CODE_MAX_MCP_DESCRIPTION_LENGTH":    "1000000000", // and with all that is said of them
}

// forbidden variables would weaken the isolation: the first two switch the tool hook
// off, the last delays tokens.
var forbidden = []string{"CLAUDE_CODE_SIMPLE", "CLAUDE_BARE", "CLAUDE_CODE_STREAM_EVENT_HOLD_MS"}

// Environ returns a child's complete environment: the passed variables of host (in
// os.Environ's form), the operator's extra ones, and the switches that make the CLI
// lean. configDir, when not empty, is where the CLI keeps its files.
func Environ(host []string, configDir string, extra map[string]string) []string {
	env := make(map[string]string)
	for _, kv := range host {
		if k, v, ok := strings.Cut(kv, "="); ok && slices.Contains(passed, k) {
			env[k] = v
		}
	}
	maps.Copy(env, extra)
	if configDir != "" {
		env["CLAUDE_CONFIG_DIR"] = configDir
	}
	for _, k := range forbidden {
		delete(env, k)
	}
	maps.Copy(env, lean)
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// cacheEnv sets the lifetime of cached prompts, whatever the sign-in: left alone, the
// CLI asks for 5 minutes with an API key and for an hour with a subscription. The first
// variable beats every other one of this matter (Claude Code 2.1.330).
func cacheEnv(ttl string) []string {
	if ttl == "1h" {
		return []string{"FORCE_PROMPT_CACHING_5M=", "CLAUDE_CODE_PROMPT_CACHE_TTL=1h"}
	}
	return []string{"FORCE_PROMPT_CACHING_5M=1"}
}

// flags are the command line of every process; nothing of a caller is ever in it.
func flags(model string) []string {
	return []string{
		"-p", "--input-format", "stream-json", "--output-format", "stream-json",
		"--verbose", "--include-partial-messages",
		"--tools", "", "--strict-mcp-config", "--setting-sources", "", "--restricted",
		"--permission-prompts", "none", "--no-session-persistence", "--system-prompt-snapshot", "off",
		"--model", model,
	}
}
