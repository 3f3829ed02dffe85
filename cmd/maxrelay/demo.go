package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"maxrelay/session/anthropictest"
)

func demoCommand() *cobra.Command {
	var stay bool
	c := &cobra.Command{
		Use: "demo", Short: "Run everything against a built-in stand-in model; no account needed", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(c.Flags(), os.Environ())
			if err != nil {
				return err
			}
			return demo(c.Context(), cfg, c.OutOrStdout(), stay)
		},
	}
	c.Flags().BoolVar(&stay, "stay", false, "keep serving after the demonstration, for requests of your own")
	return c
}

// demo starts the whole program in a scratch folder, on free ports, with the real CLI
// and a stand-in for the model, and has a conversation of two turns with it.
func demo(ctx context.Context, cfg Config, out io.Writer, stay bool) (err error) {
	dir, err := os.MkdirTemp("", "maxrelay-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	model, err := anthropictest.Start(anthropictest.Keep(100), anthropictest.WithDirectives(), anthropictest.MinCacheTokens(0))
	if err != nil {
		return err
	}
	defer model.Close()
	model.Script(demoAnswers)

	setLogLevel("warn")
	p := newProgram(demoConfig(cfg, dir, model.URL()), newLogger(cfg.Log, os.Stderr))
	defer p.close()
	if err := serve(ctx, p); err != nil {
		return err
	}
	fmt.Fprintf(out, "maxrelay %s at %s: API, embedded NATS broker and a worker with the real claude CLI.\nThe model is a stand-in on this machine (%s); no account is used.\n",
		version, p.http.URL(), model.URL())
	if err := converse(ctx, out, p.http.URL()); err != nil {
		return err
	}
	if err := showStreams(ctx, out, p); err != nil {
		return err
	}
	if stay {
		fmt.Fprintf(out, "\nStill serving; end with Ctrl-C. Try:\n  curl -N %s/v1/chat/completions -H 'Content-Type: application/json' \\\n    -d '{\"model\":\"claude-sonnet-4\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Hello [[tokens 20 delay 50ms]]\"}]}'\n", p.http.URL())
		<-ctx.Done()
	}
	return nil
}

// demoConfig leaves nothing of the operator's in the demonstration but the CLI's path.
// Its short conversations are offered to the prompt cache, so that it shows.
func demoConfig(cfg Config, dir, modelURL string) Config {
	demo := defaultConfig()
	demo.Host, demo.Port, demo.DataDir = "127.0.0.1", 0, dir
	demo.NATS.Listen, demo.NATS.Store, demo.NATS.TokenFile = "127.0.0.1:0", dir+"/nats", dir+"/nats.token"
	demo.Cache.MinTokens = 0
	demo.Stats.File = dir + "/stats.json"
	demo.Worker.Name = "demo"
	demo.Worker.MaxSessions, demo.Worker.Slots = 4, 4
	demo.Worker.CLI.Path = cfg.Worker.CLI.Path
	demo.Worker.CLI.StartTimeout = time.Minute
	demo.Worker.CLI.ConfigDir = dir + "/claude"
	demo.Worker.CLI.Env = map[string]string{"HOME": dir, "ANTHROPIC_BASE_URL": modelURL, "ANTHROPIC_API_KEY": "sk-made-up"}
	for _, secret := range []string{"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"} {
		demo.Worker.CLI.Env[secret] = ""
	}
	return demo
}

// demoAnswers tells, as the stand-in model, how much of the conversation it was shown.
func demoAnswers(r anthropictest.Request) *anthropictest.Reply {
	seen := anthropictest.Conversation(r)
	if len(seen) == 0 || strings.Contains(seen[len(seen)-1].Content[0].Text, "[[") {
		return nil // a directive of the user's own
	}
	words := strings.SplitAfter(fmt.Sprintf("I am the stand-in model. I was shown %d message(s) and stream this answer word by word.", len(seen)), " ")
	reply := anthropictest.Say(words...)
	reply.Delay = 20 * time.Millisecond
	return &reply
}

type demoMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

func converse(ctx context.Context, out io.Writer, url string) error {
	var history []demoMessage
	for _, question := range []string{"Hello! Who answers here?", "And how much do you remember?"} {
		history = append(history, demoMessage{"user", question})
		fmt.Fprintf(out, "\n> %s\n", question)
		answer, err := streamOne(ctx, out, url, history)
		if err != nil {
			return err
		}
		history = append(history, demoMessage{"assistant", answer})
	}
	return nil
}

// streamOne prints an answer as it comes, and how it came.
func streamOne(ctx context.Context, out io.Writer, url string, history []demoMessage) (string, error) {
	body, err := json.Marshal(map[string]any{"model": "claude-sonnet-4", "stream": true, "messages": history,
		"stream_options": map[string]bool{"include_usage": true}})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return "", fmt.Errorf("the API answered %s: %s", resp.Status, text)
	}
	return printStream(out, resp, begun)
}

func printStream(out io.Writer, resp *http.Response, begun time.Time) (string, error) {
	var answer strings.Builder
	var first time.Duration
	var usage json.RawMessage
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, isData := strings.CutPrefix(lines.Text(), "data: ")
		if !isData || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
			Usage   json.RawMessage
			Error   *struct{ Message string }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return "", fmt.Errorf("unreadable chunk: %w", err)
		}
		if chunk.Error != nil {
			return "", fmt.Errorf("the answer broke off: %s", chunk.Error.Message)
		}
		if len(chunk.Usage) > 0 && string(chunk.Usage) != "null" {
			usage = chunk.Usage
		}
		for _, c := range chunk.Choices {
			if c.Delta.Content != "" && first == 0 {
				first = elapsed(begun)
			}
			answer.WriteString(c.Delta.Content)
			fmt.Fprint(out, c.Delta.Content)
		}
	}
	fmt.Fprintf(out, "\n  session %s on %s, first token after %s, whole after %s, waited %s ms in the queue\n  usage %s\n",
		resp.Header.Get("x-maxrelay-session"), resp.Header.Get("x-maxrelay-worker"), first, elapsed(begun), resp.Header.Get("x-maxrelay-queue-ms"), usage)
	return answer.String(), lines.Err()
}

// showStreams prints what the broker holds: the jobs are gone, their usage is kept.
func showStreams(ctx context.Context, out io.Writer, p *program) error {
	nc, err := p.broker.Connect("demo")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, name := range []string{"JOBS", "USAGE"} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		s := stream.CachedInfo().State
		fmt.Fprintf(out, "stream %-5s  %d messages now, %d since the start, %d consumers\n", name, s.Msgs, s.LastSeq, s.Consumers)
	}
	return nil
}
