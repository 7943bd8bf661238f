package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "fanfare_"

// Metrics is every metric of a node, on a registry of its own. All fields are
// safe for use by any goroutine.
type Metrics struct {
	Sessions
	Publishing
	Refusals
	Server
	Store
	Asks
	Nodes

	Apps *Apps

	registry *prometheus.Registry
	apiTimes map[string]Histogram
}

// Sessions are the metrics of connections and of what they are subscribed to.
type Sessions struct {
	Open          map[Via]*Gauge
	Users         *Gauge
	Channels      *Gauge
	Subscriptions *Gauge
	Opened        *Counter
	Connects      *Counter
	Disconnects   Counters[uint32]
	SentBytes     *Counter
	ReceivedBytes *Counter
	Commands      Counters[Command]
	Recoveries    Counters[Recovery]
}

// Publishing are the metrics of a message's way in and out.
type Publishing struct {
	Publications Counters[Publication]
	Deliveries   *Counter
	PublishTime  Histogram // seconds from acceptance to as durable as the channel asks
	Repeated     *Counter  // publications the engine handed over twice
	Gaps         *Counter  // publications the engine left out
}

// Refusals are the metrics of what was dropped or refused.
type Refusals struct {
	Drops   Counters[DropReason]
	Refused Counters[RefusalReason]
	Limited Counters[Limit]
}

// Server are the metrics of the server API.
type Server struct {
	APIRequests   Counters[APICall]
	WebhookSent   *Counter // calls that were answered with 2xx
	WebhookFailed *Counter // calls that were not, each attempt
	Audit         Counters[AuditResult]
	CertExpiry    *Gauge   // Unix seconds; 0: no certificate
	CertFailures  *Counter // changed files of certificates that were not taken
}

// Store are the metrics of history: in RAM and on disk.
type Store struct {
	CacheHits   *Counter // history reads answered from RAM
	CacheMisses *Counter
	BatchSize   Histogram // publications per commit
	SyncTime    Histogram // seconds
	ReadOnly    *Gauge    // 1: no space, publishes are refused
	FreeBytes   *Gauge
	UsedBytes   *Gauge
	Duplicates  *Counter
}

// New makes all metrics; version is the program's own.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), apiTimes: make(map[string]Histogram)}
	f := &families{}
	m.newSessions(f)
	m.newPublishing(f)
	m.newRefusals(f)
	m.newStore(f)
	m.newAudit(f)
	m.newAsks(f)
	m.newNodes(f)
	build := f.add(prometheus.GaugeValue, "build_info", "Always 1; the labels tell what runs.", "version", "go_version")
	build.gauge(version, runtime.Version()).Set(1)
	m.Apps = newApps()
	m.registry.MustRegister(f, m.Apps, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves all metrics in the formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// APIRequest counts one request to the server API. status is the HTTP status of
// its outcome, also when it was answered with 200 and an error in the body.
func (m *Metrics) APIRequest(method string, status int, took time.Duration) {
	times, known := m.apiTimes[method]
	if !known {
		method, times = Other, m.apiTimes[Other]
	}
	m.APIRequests.Of(APICall{method, status}).Inc()
	times.Took(took)
}

func (m *Metrics) newSessions(f *families) {
	open := f.add(prometheus.GaugeValue, "sessions", "Open connections by protocol and transport.", "protocol", "transport")
	m.Open = make(map[Via]*Gauge)
	for _, v := range allVias() {
		m.Open[v] = open.gauge(string(v.Protocol), string(v.Transport))
	}
	m.Users = f.gauge("users", "Distinct users with a session.")
	m.Channels = f.gauge("channels", "Channels with subscribers.")
	m.Subscriptions = f.gauge("subscriptions", "Subscriptions of all sessions.")
	m.Opened = f.counter("connections_opened_total", "Connections opened.")
	m.Connects = f.counter("connects_total", "Sessions whose connect succeeded.")
	m.Disconnects = counters(f, "disconnects_total", "Sessions ended, by disconnect code; other: made up by a backend.",
		[]string{"code"}, allDisconnectCodes(), func(c uint32) []string { return []string{decimal(c)} })
	m.SentBytes = f.counter("sent_bytes_total", "Bytes written to sessions.")
	m.ReceivedBytes = f.counter("received_bytes_total", "Bytes of messages received from sessions.")
	m.Commands = counters(f, "commands_total", "Client commands by method and error code; 0: answered without error.",
		[]string{"method", "code"}, allCommands(), func(c Command) []string { return []string{c.Method, decimal(c.Code)} })
	m.Recoveries = byReason(f, "recoveries_total", "Recoveries by result; every result but recovered told the client so.",
		"result", allRecoveries())
}

func decimal(code uint32) string { return strconv.FormatUint(uint64(code), 10) }

func (m *Metrics) newPublishing(f *families) {
	m.Publications = counters(f, "publications_total", "Publishes by source and result.",
		[]string{"source", "result"}, allPublications(),
		func(p Publication) []string { return []string{string(p.Source), string(p.Result)} })
	m.Deliveries = f.counter("deliveries_total", "Publications queued for sessions, one for each session.")
	m.PublishTime = m.histogram("publish_duration_seconds",
		"From the acceptance of a publish until it is as durable as its channel asks.", latencies())
	m.Repeated = f.counter("engine_repeats_total", "Publications that the engine handed over twice; dropped. Should stay 0.")
	m.Gaps = f.counter("engine_gaps_total", "Publications that the engine left out; subscribers were told to recover. Should stay 0.")
}

func (m *Metrics) newRefusals(f *families) {
	m.Drops = byReason(f, "drops_total", "What a full queue dropped, by reason.", "reason", allDropReasons())
	m.Refused = byReason(f, "refusals_total", "What was not allowed, by reason.", "reason", allRefusalReasons())
	m.Limited = byReason(f, "limited_total", "What was too much or too often, by the setting below limits that refused it.", "limit", allLimits())
	m.APIRequests = counters(f, "api_requests_total",
		"Server API requests by method and the HTTP status of the outcome, also when it was answered with 200.",
		[]string{"method", "status"}, allAPICalls(),
		func(c APICall) []string { return []string{c.Method, strconv.Itoa(c.Status)} })
	m.WebhookSent = f.counter("webhook_calls_total", "Webhook calls that succeeded.")
	m.WebhookFailed = f.counter("webhook_failures_total", "Webhook calls that failed, each attempt; they are tried again.")
	m.CertExpiry = f.gauge("tls_certificate_expiry_seconds", "Unix time until which the certificate of the listener whose files were read last is valid; 0: none.")
	m.CertFailures = f.counter("tls_reload_failures_total", "Changed files of certificates that were not taken; the ones before stay in use.")
	times := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: namespace + "api_request_duration_seconds", Buckets: latencies(),
		Help: "Server API requests from the header read to the reply written.",
	}, []string{"method"})
	m.registry.MustRegister(times)
	for _, method := range countedMethods() {
		m.apiTimes[method] = Histogram{times.WithLabelValues(method)}
	}
}

func (m *Metrics) newStore(f *families) {
	m.CacheHits = f.counter("history_cache_hits_total", "History reads answered from RAM.")
	m.CacheMisses = f.counter("history_cache_misses_total", "History reads that went to the store.")
	m.BatchSize = m.histogram("store_batch_publications", "Publications in one commit to disk.",
		prometheus.ExponentialBuckets(1, 2, 12))
	m.SyncTime = m.histogram("store_sync_duration_seconds", "One commit to disk, from its write to the end of its fsync.", latencies())
	m.ReadOnly = f.gauge("store_read_only", "1 while there is too little space and publishes are refused.")
	m.FreeBytes = f.gauge("store_free_bytes", "Free space where the data directory is.")
	m.UsedBytes = f.gauge("store_used_bytes", "Size of the store on disk.")
	m.Duplicates = f.counter("idempotent_repeats_total", "Publishes answered from a known idempotency key.")
}

// latencies reach from 50 µs to 13 s.
func latencies() []float64 { return prometheus.ExponentialBuckets(50e-6, 2, 19) }

func (m *Metrics) histogram(name, help string, buckets []float64) Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: namespace + name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return Histogram{h}
}
