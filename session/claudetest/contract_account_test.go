package claudetest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"maxrelay/session/anthropictest"
)

func accountPoints() []point {
	return []point{
		{"a subscription's sign-in is named", `token "CLAUDE_CODE_OAUTH_TOKEN", key "", provider "firstParty"`, func(l *lab) string {
			l.startAs("CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up")
			defer l.drop()
			return l.account()
		}},
		{"an API key is used before a subscription", `token "CLAUDE_CODE_OAUTH_TOKEN", key "ANTHROPIC_API_KEY", provider "firstParty"; asks with x-api-key`, func(l *lab) string {
			l.startAs("CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up", "ANTHROPIC_API_KEY="+madeUpKey)
			defer l.drop()
			l.say(text("hello"))
			with := "a token"
			if h := l.newest().Header; h.Get("X-Api-Key") == madeUpKey && h.Get("Authorization") == "" {
				with = "x-api-key"
			}
			return l.account() + "; asks with " + with
		}},
		{"a cloud provider is named", `token "", key "", provider "bedrock"`, func(l *lab) string {
			l.startAs("CLAUDE_CODE_USE_BEDROCK=1", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=made-up", "AWS_SECRET_ACCESS_KEY=made-up")
			defer l.drop()
			return l.account()
		}},
		{"a subscription's use is told before the result", "allowed five_hour 0.42, resets on time", func(l *lab) string {
			return l.limited(anthropictest.Say("a"), "allowed", 0.42)
		}},
		{"a used-up window is told before the result", "rejected five_hour 1, resets on time", func(l *lab) string {
			return l.limited(anthropictest.Status(429, "", "limit"), "rejected", 1)
		}},
	}
}

// startAs holds a new process with these sign-ins only.
func (l *lab) startAs(signIns ...string) {
	env := slices.DeleteFunc(l.env(""), func(kv string) bool { return strings.HasPrefix(kv, "ANTHROPIC_API_KEY=") })
	l.start(append(env, signIns...))
	l.initialize(labSystem)
}

// limited is what a subscription is told of its limits before the result of a turn.
func (l *lab) limited(reply anthropictest.Reply, status string, used float64) string {
	l.startAs("CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up")
	defer l.drop()
	resets := time.Now().Add(2 * time.Hour)
	l.api.Answer(reply.WithHeader(anthropictest.RateLimit(status, "five_hour", used, resets)))
	from := len(l.read)
	l.say(text("hello"))
	for _, line := range l.read[from:] {
		if line["type"] != "rate_limit_event" {
			continue
		}
		info, _ := line["rate_limit_info"].(object)
		windows, _ := info["unifiedWindows"].(object)
		window, _ := windows["five_hour"].(object)
		when := "resets on time"
		if info["resetsAt"] != float64(resets.Unix()) {
			when = fmt.Sprintf("resets at %v", info["resetsAt"])
		}
		return fmt.Sprintf("%v %v %v, %s", info["status"], info["rateLimitType"], window["utilization"], when)
	}
	return "nothing"
}
