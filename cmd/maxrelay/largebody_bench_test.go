package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	onlookers  = 20       // streams that run while a large body comes
	largeBody  = 49 << 20 // bytes; 50 MB are the most
	largePosts = 6        // of each kind, and as many moments of quiet
)

// BenchmarkLargeBody tells whether 20 streams, with a delta every 20 ms each from scripted
// CLIs, notice that somebody else sends 49 MB: the gaps between what a client reads of
// them, in milliseconds, while such a body is on its way, until it is answered, and in
// moments of quiet between. It also tells by how many MB maxrelay is larger then, at the
// most, than with the streams alone.
func BenchmarkLargeBody(b *testing.B) {
	s := newSite(b)
	relay := s.start("relay", servesHTTP, scriptedCLI, "serve", "--log-level", "info",
		"--set", "worker.slots=24", "--set", "worker.max_sessions=24", "--set", "worker.spares=0")
	kinds := []struct {
		name string
		body []byte
		seen window
		grew []float64
	}{
		{name: "picture", body: completion(question(picturePart(b), textPart("what is it?")))},
		{name: "pdf-history", body: completion(question(pdfPart(), textPart("read it")), `{"role":"assistant","content":"ok"}`, question(textPart("go on")))},
	}
	crowd := watchStreams(b, relay.url)
	defer crowd.leave()
	var quiet window
	alone := relay.resident(b)
	for range largePosts {
		for i := range kinds {
			k := &kinds[i]
			quiet.during(func() { <-time.After(2 * time.Second) })
			relay.resident(b)
			k.seen.during(func() { post(b, relay.url, k.body) })
			k.grew = append(k.grew, float64(relay.peak(b)-alone)/(1<<20))
			<-time.After(time.Second) // what it leaves behind is no part of the quiet
		}
	}
	crowd.leave()
	still := crowd.gaps(quiet)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(quantile(still, 0.5), "quiet-p50-ms")
	b.ReportMetric(quantile(still, 0.99), "quiet-p99-ms")
	for _, k := range kinds {
		gaps := crowd.gaps(k.seen)
		b.ReportMetric(quantile(gaps, 0.5), k.name+"-p50-ms")
		b.ReportMetric(quantile(gaps, 0.99), k.name+"-p99-ms")
		b.ReportMetric(quantile(gaps, 0.99)/quantile(still, 0.99), k.name+"-p99/quiet")
		b.ReportMetric(median(k.grew), k.name+"-grew-MB")
		b.ReportMetric(ms(k.seen.total())/largePosts, k.name+"-answer-ms")
	}
}

func completion(messages ...string) []byte {
	return fmt.Appendf(nil, `{"model":"sonnet","messages":[%s]}`, strings.Join(messages, ","))
}

func question(parts ...string) string {
	return `{"role":"user","content":[` + strings.Join(parts, ",") + `]}`
}

func textPart(text string) string { return fmt.Sprintf(`{"type":"text","text":%q}`, text) }

// picturePart is a picture of noise: nothing is larger for its pixels, or slower to be
// made small.
func picturePart(b *testing.B) string {
	const side = 3100
	m := image.NewNRGBA(image.Rect(0, 0, side, side))
	noise(m.Pix)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&out, m); err != nil {
		b.Fatal(err)
	}
	return `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + base64.StdEncoding.EncodeToString(out.Bytes()) + `"}}`
}

func pdfPart() string {
	raw := make([]byte, largeBody/4*3)
	noise(raw)
	copy(raw, "%PDF-1.7\n")
	return `{"type":"file","file":{"filename":"large.pdf","file_data":"data:application/pdf;base64,` + base64.StdEncoding.EncodeToString(raw) + `"}}`
}

func noise(b []byte) { rand.NewChaCha8([32]byte{}).Read(b) }

func post(b *testing.B, url string, body []byte) {
	b.Helper()
	resp, err := client.Post(url+"/v1/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("status %d, %v: %.500s", resp.StatusCode, err, raw)
	}
}

// window is some spans of time.
type window []span

type span struct{ from, to time.Time }

func (w *window) during(do func()) {
	from := time.Now()
	do()
	*w = append(*w, span{from, time.Now()})
}

func (w window) total() (sum time.Duration) {
	for _, s := range w {
		sum += s.to.Sub(s.from)
	}
	return sum
}

func (w window) meets(from, to time.Time) bool {
	return slices.ContainsFunc(w, func(s span) bool { return from.Before(s.to) && to.After(s.from) })
}

// streams are the onlookers. What they have seen belongs to their readers until leave.
type streams struct {
	leave func() // ends them all
	seen  [onlookers][]time.Time
}

// watchStreams returns once all of them run.
func watchStreams(b *testing.B, url string) *streams {
	ctx, cancel := context.WithCancel(b.Context())
	w := new(streams)
	var readers, begun sync.WaitGroup
	begun.Add(onlookers)
	for i := range onlookers {
		readers.Go(func() {
			req := chatRequest{Stream: true, User: strconv.Itoa(i), Messages: []message{{"user", "[[tokens 1000000 delay 20ms]]"}}}
			a, err := send(ctx, url, req, func(string) {
				if w.seen[i] = append(w.seen[i], time.Now()); len(w.seen[i]) == 1 {
					begun.Done()
				}
			})
			if ctx.Err() == nil {
				b.Errorf("stream %d ended with status %d, error %q, %v", i, a.status, a.errCode, err)
			}
		})
	}
	w.leave = sync.OnceFunc(func() { cancel(); readers.Wait() })
	begun.Wait()
	return w
}

// gaps are those between two arrivals that met the window, in milliseconds and in order.
func (w *streams) gaps(in window) (all []float64) {
	for _, seen := range w.seen {
		for i := 1; i < len(seen); i++ {
			if in.meets(seen[i-1], seen[i]) {
				all = append(all, ms(seen[i].Sub(seen[i-1])))
			}
		}
	}
	slices.Sort(all)
	return all
}

func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// resident is the process's memory in bytes, from which its peak is counted anew.
func (p *proc) resident(b *testing.B) int64 {
	b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
	return p.status(b, "VmRSS:")
}

func (p *proc) peak(b *testing.B) int64 {
	b.Helper()
	return p.status(b, "VmHWM:")
}

// status reads a size from proc_pid_status(5).
func (p *proc) status(b *testing.B, name string) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), name)
	if !ok {
		b.Fatalf("no %s", name)
	}
	kB, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kB << 10
}
