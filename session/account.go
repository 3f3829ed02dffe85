package session

import "slices"

// Account says what a CLI is signed in with: one of the words below, or the name that it
// has for a cloud provider, like bedrock, vertex or foundry.
type Account string

// The accounts that are no cloud provider's.
const (
	AccountUnknown      Account = ""             // the CLI does not tell
	AccountNone         Account = "none"         // nobody is signed in
	AccountSubscription Account = "subscription" // a person's or a team's plan, with usage windows
	AccountAPIKey       Account = "api_key"
	AccountToken        Account = "token" // another bearer token, such as a gateway's
)

// SignedIn reports whether some credential is there. Whether the upstream takes it shows
// in the first turn.
func (a Account) SignedIn() bool { return a != AccountUnknown && a != AccountNone }

// signIn is what Claude Code 2.1.330 tells of its account in answer to initialize. Name and address of
// the owner are not read.
type signIn struct {
	Token    string `json:"tokenSource"`  // where a bearer token comes from; "none"
	Key      string `json:"apiKeySource"` // where an API key comes from; absent
	Provider string `json:"apiProvider"`  // firstParty, or a cloud provider, which needs neither
}

// subscriptions are the token sources of a plan's sign-in.
var subscriptions = []string{"claude.ai", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "CCR_OAUTH_TOKEN_FILE"}

// account tells what the CLI uses of what it has: an API key before a token.
func (s signIn) account() Account {
	switch {
	case named(s.Provider) && s.Provider != "firstParty":
		return Account(s.Provider)
	case named(s.Key):
		return AccountAPIKey
	case slices.Contains(subscriptions, s.Token):
		return AccountSubscription
	case named(s.Token):
		return AccountToken
	case s == signIn{}:
		return AccountUnknown
	}
	return AccountNone
}

// named reports whether the CLI named something: it says "none" for nothing.
func named(s string) bool { return s != "" && s != "none" }
