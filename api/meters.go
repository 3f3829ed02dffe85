package api

import (
	"cmp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"maxrelay/api/failure"
	"maxrelay/api/roster"
	"maxrelay/queue"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

// meters is what an API node counts. Labels hold routes, statuses, codes of package
// chat, and names of models up to a bound: nothing else of a caller's.
type meters struct {
	requests *prometheus.CounterVec   // every HTTP request
	duration *prometheus.HistogramVec // of those

	modelRequests prometheus.Counter // those that left a usage event
	modelDuration prometheus.Histogram
	outcomes      *prometheus.CounterVec
	sessions      *prometheus.CounterVec
	first, queued prometheus.Histogram
	tokens        *prometheus.CounterVec
	failures      *prometheus.CounterVec // of upstreams and workers
	limited       prometheus.Counter

	continued, warm atomic.Int64 // conversations that went on, and those that a process held

	models *nameSet
}

// seconds are the bounds of histograms of whole requests: a model may answer for minutes.
var seconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

// newMeters makes the series that can be known beforehand, so that the first increase
// of each is one that a rate sees.
func newMeters(models map[string]string) *meters {
	m := &meters{
		requests: counters("relay_requests_total", "HTTP requests by method, route and status.", "method", "endpoint", "status"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_request_duration_seconds", Help: "From the request's header to the last byte of its answer.", Buckets: seconds,
		}, []string{"method", "endpoint"}),
		modelRequests: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "proxy_requests_total", Help: "Model requests that were admitted: chat, messages, forwarded.",
		}),
		modelDuration: histogram("proxy_duration_seconds", "Duration of those, waiting included."),
		outcomes:      counters("relay_jobs_total", "Model requests by how they ended: ok or an error code.", "outcome"),
		sessions:      counters("relay_sessions_total", "Model requests by how a process came to hold their conversation.", "session"),
		first:         histogram("relay_first_token_seconds", "From the request to the first content of its answer."),
		queued:        histogram("relay_queue_wait_seconds", "From the queue's admission to the last claim by a worker."),
		tokens:        counters("tokens_used_total", "Tokens by the model that was asked for. The kinds are disjoint.", "model", "kind"),
		failures:      counters("upstream_errors_total", "Failures of the model's servers, its accounts and the workers.", "error_type"),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rate_limit_exceeded_total", Help: "Requests refused because their key is over its rate, its concurrency or its tokens.",
		}),
		models: newNameSet(maxModelLabels),
	}
	m.prepare(models)
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds})
}

func (m *meters) prepare(models map[string]string) {
	for _, route := range []string{chatRoute, messagesRoute} {
		m.requests.WithLabelValues("POST", route, "200")
		m.duration.WithLabelValues("POST", route)
	}
	m.outcomes.WithLabelValues(outcomeOK)
	for code := range upstreamCodes {
		m.outcomes.WithLabelValues(string(code))
		m.failures.WithLabelValues(string(code))
	}
	for _, session := range []chat.Session{chat.SessionWarm, chat.SessionRewound, chat.SessionReplayed, chat.SessionNew} {
		m.sessions.WithLabelValues(string(session))
	}
	for model := range models {
		m.countTokens(m.models.label(model), chat.Usage{})
	}
}

const outcomeOK = "ok"

// upstreamCodes are the failures that are nobody's who called.
var upstreamCodes = map[chat.Code]bool{
	chat.CodeOverloaded: true, chat.CodeAccount: true, chat.CodeUsageLimit: true,
	chat.CodeWorkerFailed: true, chat.CodeInvalidOutput: true, chat.CodeTurnTimeout: true, chat.CodeNoWorker: true,
}

// request counts an HTTP request that has ended.
func (m *meters) request(x *exchange, method string) {
	method, endpoint := knownMethod(method), x.route
	if endpoint == "" {
		endpoint = "none" // no route of ours: its path is the caller's text
	}
	status := cmp.Or(x.status, failure.StatusClientClosed) // who left was told nothing
	m.requests.WithLabelValues(method, endpoint, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(method, endpoint).Observe(time.Since(x.start).Seconds())
}

// event counts a model request by its usage event.
func (m *meters) event(e stats.Event) {
	m.modelRequests.Inc()
	m.modelDuration.Observe(inSeconds(e.DurationMS))
	outcome := outcomeOK
	if e.ErrorCode != "" {
		outcome = e.ErrorCode
	}
	m.outcomes.WithLabelValues(outcome).Inc()
	m.failure(chat.Code(e.ErrorCode))
	if e.Session != "" {
		m.countSession(e.Session)
	}
	if e.FirstMS > 0 {
		m.first.Observe(inSeconds(e.FirstMS))
	}
	if e.Attempts > 0 {
		m.queued.Observe(inSeconds(e.QueueMS))
	}
	m.countTokens(m.models.label(e.Model), e.Usage)
}

// failure counts what failed behind this server.
func (m *meters) failure(code chat.Code) {
	if upstreamCodes[code] {
		m.failures.WithLabelValues(string(code)).Inc()
	}
}

func (m *meters) countSession(s chat.Session) {
	m.sessions.WithLabelValues(string(s)).Inc()
	if s != chat.SessionNew {
		m.continued.Add(1)
	}
	if s == chat.SessionWarm || s == chat.SessionRewound {
		m.warm.Add(1)
	}
}

func (m *meters) warmRatio() float64 {
	return float64(m.warm.Load()) / float64(max(m.continued.Load(), 1))
}

func inSeconds(ms int64) float64 { return float64(ms) / 1e3 }

func (m *meters) countTokens(model string, u chat.Usage) {
	for kind, n := range map[string]int{
		"input": u.InputTokens, "output": u.OutputTokens, "cache_read": u.CacheReadTokens, "cache_write": u.CacheWriteTokens,
	} {
		m.tokens.WithLabelValues(model, kind).Add(float64(n))
	}
}

// maxModelLabels bounds the series of tokens: callers choose the names of models. Names
// beyond it are counted together.
const maxModelLabels = 100

// nameSet gives labels to names, the first ones their own.
type nameSet struct {
	most int

	mu    sync.Mutex
	known map[string]bool
}

func newNameSet(most int) *nameSet { return &nameSet{most: most, known: make(map[string]bool)} }

func (s *nameSet) label(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known[name] && len(s.known) >= s.most {
		return "other"
	}
	s.known[name] = true
	return name
}

// Collector tells Prometheus how an API node is.
type Collector struct{ server *Server }

// Metrics is the server's, to be registered once.
func (s *Server) Metrics() Collector { return Collector{s} }

var (
	workersDesc = desc("relay_workers", "Workers this node knows, by state.", "state")
	slotsDesc   = desc("relay_slots", "Turns that those workers run at most, and run now.", "state")
	jobsDesc    = desc("relay_jobs", "Jobs of this node by state.", "state")
	keysDesc    = desc("active_api_keys", "API keys that can be used now, those of the configuration and managed ones.")
	quotaDesc   = desc("token_quota_usage_ratio", "Tokens used and reserved, of the key's quota of its life or of the day. Keys of one name are told by the fullest.", "key")
	warmDesc    = desc("relay_warm_hit_ratio", "Since the start: conversations that went on in a process that held them, of all that went on; 0 before the first.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func (m *meters) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.requests, m.duration, m.modelRequests, m.modelDuration, m.outcomes, m.sessions,
		m.first, m.queued, m.tokens, m.failures, m.limited,
	}
}

// Describe implements prometheus.Collector.
func (c Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{workersDesc, slotsDesc, jobsDesc, keysDesc, quotaDesc, warmDesc} {
		ch <- d
	}
	for _, m := range c.server.meters.all() {
		m.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state, n := range workerStates(c.server.owner.Workers()) {
		gauge(workersDesc, float64(n), string(state))
	}
	q := c.server.owner.Stats()
	gauge(slotsDesc, float64(q.Slots), "all")
	gauge(slotsDesc, float64(q.Busy), "busy")
	gauge(jobsDesc, float64(q.Waiting), "waiting")
	gauge(jobsDesc, float64(q.Running), "running")
	callers := c.server.cfg.Keys.Callers()
	gauge(keysDesc, float64(withKeys(callers)))
	for _, q := range c.server.fullest(callers) {
		gauge(quotaDesc, q.ratio, q.key)
	}
	gauge(warmDesc, c.server.meters.warmRatio())
	for _, m := range c.server.meters.all() {
		m.Collect(ch)
	}
}

func workerStates(all []queue.WorkerInfo) map[roster.State]int {
	states := make(map[roster.State]int)
	for _, s := range roster.States { // each has its series from the start
		states[s] = 0
	}
	for _, w := range all {
		state, _ := roster.Of(w).State()
		states[state]++
	}
	return states
}
