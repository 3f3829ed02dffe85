// Package claudetest is a scripted stand-in for the Claude Code CLI that a test binary becomes by executing itself.
//
// It speaks on stdio what Claude Code 2.1.330 speaks with -p --input-format stream-json --output-format stream-json --verbose
// --include-partial-messages, and asks no model: the last user text says how it is to be answered, see package directive. So
// do the results of tools that come without one.
//
//	[[echo]]                       the digest of the conversation it holds and the text's head
//	[[echo 20 delay 5ms]]          the same and 20 words behind it, 5 ms before each delta
//	[[state]]                      model, system prompt, settings and tools as JSON
//	[[tokens 50 delay 15ms]]       50 deltas, 15 ms before each
//	[[think 5]]                    5 thinking deltas first
//	[[tool Bash {"a":1}]]          a tool call; may be given several times
//	[[huge 5000000]]               one delta of that many bytes
//	[[stderr 1000]]                that many bytes on stderr
//	[[status 529]]                 the upstream's error
//	[[limit 3600 seven_day]]       that window is used up and resets in that many seconds; default five_hour
//	[[used 42 seven_day]]          the account has used 42 % of that window, which resets in an hour; default five_hour
//	[[limit-text]]                 a limit told in the CLI's words only, where an answer would stand
//	[[refuse]] [[max_tokens]]      these stop reasons, with what they make the CLI do
//	[[lost after 2]]               the connection upstream breaks after two deltas
//	[[exit 3 after 1]]             the process exits with that code, [[crash after 2]] by SIGKILL
//	[[hang after 3]] [[hang]]      silence after three deltas, or before the first event
//	[[mute after 3]]               stdout is closed, and the process lives on
//	[[garbage after 1]]            a line that is no JSON, and on
//	[[ignore-interrupt]]           an interrupt is neither answered nor obeyed
//
// "after 0" is after message_start; without "after" it happens before. The Env constants rule the process as a whole.
package claudetest

import (
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// Environment variables that make the process the fake and rule how it behaves.
const (
	Env              = "CLAUDETEST"                // 1: be the fake
	EnvStartDelay    = "CLAUDETEST_START_DELAY"    // a duration before stdin is read
	EnvTTFT          = "CLAUDETEST_TTFT"           // a duration before each message_start
	EnvIgnoreSIGTERM = "CLAUDETEST_IGNORE_SIGTERM" // 1: SIGTERM does nothing
	EnvCrashAtStart  = "CLAUDETEST_CRASH_AT_START" // 1: exit with an error before anything is read
	EnvLoggedOut     = "CLAUDETEST_LOGGED_OUT"     // 1: nobody is signed in
	EnvFile          = "CLAUDETEST_FILE"           // a file with more of these, one a line, for processes that start while it is there
	EnvSubscription  = "CLAUDETEST_SUBSCRIPTION"   // signed in with a plan; a file in which a Unix time may stand until which it is used up
)

// Version is the release that the fake imitates.
const Version = "2.1.330"

// Main is to be the first call of TestMain: in a process started by Command it is the fake and does not return.
func Main() {
	if os.Getenv(Env) != "1" {
		return
	}
	runtime.GOMAXPROCS(1) // thousands of these shall fit on a machine
	readFile(os.Getenv(EnvFile))
	onSignals()
	stdin := struct{ io.Reader }{os.Stdin} // not to be closed: a read may be waiting in it
	code := Serve(Process{Args: os.Args[1:], Env: os.Environ(), Stdin: stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if code == exitKilled {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Exit(code)
}

// readFile sets the variables of a file, if there is one.
func readFile(path string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			_ = os.Setenv(name, value) // a name that cannot be set has no effect
		}
	}
}

// Command is what to start to get the fake: this binary, and what its environment must have.
func Command() (path string, env []string) {
	path, err := os.Executable()
	if err != nil {
		panic(err) // a test binary was started from a file
	}
	return path, []string{Env + "=1"}
}

// onSignals ends the process as Claude Code does: SIGTERM with 143, SIGINT with 0.
func onSignals() {
	if os.Getenv(EnvIgnoreSIGTERM) == "1" {
		signal.Ignore(syscall.SIGTERM)
	}
	for sig, code := range map[os.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 0} {
		if signal.Ignored(sig) {
			continue
		}
		c := make(chan os.Signal, 1)
		signal.Notify(c, sig)
		go func() {
			<-c
			os.Exit(code)
		}()
	}
}
