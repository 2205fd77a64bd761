package rpc

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/descartes-tasks/descartes/schema"
)

// scrapePatience is how long a scrape may wait for the log of record: less than
// Prometheus waits for the scrape.
const scrapePatience = time.Second

// clusterCollector reads the figures of the cluster once for each scrape.
type clusterCollector struct {
	cluster                                             Cluster
	connected, current, position, lag, unknown, daemons *prometheus.Desc
}

// observeCluster adds what there is to know where several daemons share one log.
func (m *Metrics) observeCluster(cluster Cluster) {
	m.registry.MustRegister(&clusterCollector{
		cluster:   cluster,
		connected: prometheus.NewDesc("descartes_cluster_connected", "1 while this daemon reaches the log of record.", nil, nil),
		current:   prometheus.NewDesc("descartes_cluster_current", "1 while this daemon has what the log of record has, but for what is on its way.", nil, nil),
		position:  prometheus.NewDesc("descartes_cluster_position", "Position in the log of record that this daemon has applied.", nil, nil),
		lag:       prometheus.NewDesc("descartes_cluster_lag", "Messages of the log of record that this daemon knows of and has not applied yet.", nil, nil),
		unknown:   prometheus.NewDesc("descartes_cluster_unknown_outcomes_total", "Writes of which it could not be told whether they were made.", nil, nil),
		daemons:   prometheus.NewDesc("descartes_cluster_daemons", "Daemons that were heard of, this one too, by whether they keep up.", []string{"current"}, nil),
	})
}

// Describe implements prometheus.Collector.
func (c *clusterCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.connected, c.current, c.position, c.lag, c.unknown, c.daemons} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. Where there are no figures the daemon counts
// as cut off, and the rest of the scrape goes on.
func (c *clusterCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s, err := c.cluster.Stats(ctx)
	if err != nil {
		s = schema.ClusterStats{}
	}
	gauge(c.connected, oneIf(s.Connected))
	gauge(c.current, oneIf(s.Current))
	if err != nil {
		return
	}
	current := 0
	for _, daemon := range s.Daemons {
		if daemon.Current {
			current++
		}
	}
	gauge(c.position, float64(s.Position))
	gauge(c.lag, float64(s.Lag))
	gauge(c.daemons, float64(current), "yes")
	gauge(c.daemons, float64(len(s.Daemons)-current), "no")
	metrics <- prometheus.MustNewConstMetric(c.unknown, prometheus.CounterValue, float64(s.Unknown))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
