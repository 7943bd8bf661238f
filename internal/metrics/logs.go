package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// LogRow is how one log of a cluster stands on this node.
type LogRow struct {
	Log     string
	Lag     uint64 // messages that are not applied here
	Applied uint64 // number of the last that is
	Leads   bool   // this node does
	Ready   bool
}

// Logs shows how the logs of a cluster stand. There are as many as the cluster was
// made with, and none on a node that is alone.
type Logs struct {
	rows  atomic.Pointer[func() []LogRow]
	descs []*prometheus.Desc
}

// logColumns are the metrics of a log.
var logColumns = []struct {
	name, help string
	of         func(*LogRow) float64
}{
	{"cluster_log_lag", "Messages of a log that this node has yet to apply, by log.", func(r *LogRow) float64 { return float64(r.Lag) }},
	{"cluster_log_applied", "Number of the last message of a log that this node has applied, by log.", func(r *LogRow) float64 { return float64(r.Applied) }},
	{"cluster_log_leader", "1 where this node leads the log, by log.", func(r *LogRow) float64 { return number(r.Leads) }},
	{"cluster_log_ready", "1 while this node is ready for the log, by log.", func(r *LogRow) float64 { return number(r.Ready) }},
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func newLogs() *Logs {
	l := &Logs{}
	for _, c := range logColumns {
		l.descs = append(l.descs, prometheus.NewDesc(namespace+c.name, c.help, []string{"log"}, nil))
	}
	return l
}

// Bind says where the rows come from; fn is called at each scrape and must not
// block.
func (l *Logs) Bind(fn func() []LogRow) { l.rows.Store(&fn) }

// Describe implements prometheus.Collector.
func (l *Logs) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range l.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Logs) Collect(ch chan<- prometheus.Metric) {
	fn := l.rows.Load()
	if fn == nil {
		return
	}
	for _, row := range (*fn)() {
		for i, c := range logColumns {
			ch <- prometheus.MustNewConstMetric(l.descs[i], prometheus.GaugeValue, c.of(&row), row.Log)
		}
	}
}
