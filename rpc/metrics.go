package rpc

import (
	"bytes"
	"log"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/schema"
)

// Metrics are what /metrics shows. Committed and Delivered belong into the
// emitter's Config; the rest is read when somebody asks.
type Metrics struct {
	registry  *prometheus.Registry
	commits   prometheus.Histogram
	group     prometheus.Histogram
	emissions prometheus.Histogram
	refused   *prometheus.CounterVec // by reason
	failing   *prometheus.GaugeVec   // by what
}

// NewMetrics makes metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "descartes_commit_duration_seconds", Help: "Time from the begin of a write transaction to its durable commit.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "descartes_writes_per_commit", Help: "Changes that shared one commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		emissions: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "task_event_emission_latency_seconds", Help: "Time from the commit of an event that was not held back to its socket write.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 2, 20),
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "descartes_refusals_total", Help: "Connections and requests that were turned away, by reason.",
		}, []string{"reason"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "descartes_storage_failing", Help: "1 while the database file cannot be used for this, by what.",
		}, []string{"what"}),
	}
	for _, reason := range refusalReasons() {
		m.refused.WithLabelValues(reason) // so that it is there before the first one
	}
	m.registry.MustRegister(m.commits, m.group, m.emissions, m.refused, m.failing,
		goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// goCollector adds to the usual figures of the runtime what the last garbage
// collection found alive: unlike the others it does not swing with the garbage.
func goCollector() prometheus.Collector {
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)}
	return collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live))
}

// Committed is for emitter.Config.
func (m *Metrics) Committed(took time.Duration, changes int) {
	m.commits.Observe(took.Seconds())
	m.group.Observe(float64(changes))
}

// Delivered is for emitter.Config.
func (m *Metrics) Delivered(after time.Duration, _ int) { m.emissions.Observe(after.Seconds()) }

// Failed takes what the store tells: what begins to fail, or with a nil error what
// works again.
func (m *Metrics) Failed(what string, err error) {
	m.failing.WithLabelValues(what).Set(oneIf(err != nil))
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe adds what the server and its emitter count by themselves.
func (m *Metrics) observe(s *Server) {
	m.registry.MustRegister(&statsCollector{
		server:        s,
		emitted:       prometheus.NewDesc("task_events_emitted_total", "Events announced, by type.", []string{"type"}, nil),
		delivered:     prometheus.NewDesc("task_event_deliveries_total", "Events sent to subscribers.", nil, nil),
		debounce:      prometheus.NewDesc("task_event_debounce_rate", "Share of delivered changes that were folded into another event, since the start.", nil, nil),
		held:          prometheus.NewDesc("task_events_held_back", "Changes that wait in a fold now.", nil, nil),
		connections:   prometheus.NewDesc("descartes_connections", "Open WebSocket connections.", nil, nil),
		subscriptions: prometheus.NewDesc("descartes_subscriptions", "Open subscriptions.", nil, nil),
		leases:        prometheus.NewDesc("descartes_leases", "Claims that have not ended.", nil, nil),
		expired:       prometheus.NewDesc("descartes_leases_expired_total", "Claims that this daemon has ended because their time was over or their connection gone.", nil, nil),
		waiting:       prometheus.NewDesc("descartes_waiting_claims", "Claims that wait for a task to become ready.", nil, nil),
		lag:           prometheus.NewDesc("descartes_slowest_subscription_lag", "Events that the slowest subscription has not taken yet.", nil, nil),
	})
	if s.config.Cluster != nil {
		m.observeCluster(s.config.Cluster)
	}
}

// statsCollector reads every figure of emitter.Stats once for each scrape.
type statsCollector struct {
	server                                                              *Server
	emitted, delivered, debounce, held, connections, subscriptions, lag *prometheus.Desc
	leases, expired, waiting                                            *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *statsCollector) Describe(descs chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(c, descs)
}

// Collect implements prometheus.Collector.
func (c *statsCollector) Collect(metrics chan<- prometheus.Metric) {
	s := c.server.config.Emitter.Stats()
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter(c.emitted, s.Created, string(schema.Created))
	counter(c.emitted, s.Updated, string(schema.Updated))
	counter(c.emitted, s.Deleted, string(schema.Deleted))
	counter(c.delivered, s.Delivered)
	gauge(c.debounce, debounceRate(s))
	gauge(c.held, float64(s.HeldBack))
	gauge(c.connections, float64(c.server.Connections()))
	gauge(c.subscriptions, float64(s.Subscriptions))
	gauge(c.lag, float64(s.SlowestLag))
	gauge(c.leases, float64(s.Leases))
	gauge(c.waiting, float64(s.WaitingClaims))
	counter(c.expired, s.LeasesExpired)
}

func debounceRate(s emitter.Stats) float64 {
	return float64(s.Folded) / float64(max(s.Folded+s.Delivered, 1))
}

// httpLog gives what net/http complains about to the log, at debug level: it is
// mostly clients that went away. Of several lines the first is enough: the others
// are a stack.
func httpLog(l zerolog.Logger) *log.Logger { return log.New(httpWriter{l}, "", 0) }

type httpWriter struct{ log zerolog.Logger }

func (w httpWriter) Write(line []byte) (int, error) {
	first, _, _ := bytes.Cut(line, []byte{'\n'})
	w.log.Debug().Str("component", "http").Msg(string(first))
	return len(line), nil
}
