package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// AppRow is what one App uses of the node.
type AppRow struct {
	App           string
	Sessions      int
	Users         int
	Channels      int
	Subscriptions int
	Published     uint64
	HistoryBytes  int64
}

// Apps shows what each App uses. Apps come and go, so unlike other labels the names
// are no closed list; there are as many as the operator has made.
type Apps struct {
	rows  atomic.Pointer[func() []AppRow]
	descs []*prometheus.Desc
}

// appColumns are the metrics of an App.
var appColumns = []struct {
	name, help string
	kind       prometheus.ValueType
	of         func(*AppRow) float64
}{
	{"app_connections", "Sessions that have connected, by App.", prometheus.GaugeValue, func(r *AppRow) float64 { return float64(r.Sessions) }},
	{"app_users", "Distinct users with sessions, by App.", prometheus.GaugeValue, func(r *AppRow) float64 { return float64(r.Users) }},
	{"app_channels", "Channels that have subscribers, by App.", prometheus.GaugeValue, func(r *AppRow) float64 { return float64(r.Channels) }},
	{"app_subscriptions", "Subscriptions, by App.", prometheus.GaugeValue, func(r *AppRow) float64 { return float64(r.Subscriptions) }},
	{"app_publications_total", "Publications accepted, of clients and backends, by App.", prometheus.CounterValue, func(r *AppRow) float64 { return float64(r.Published) }},
	{"app_history_bytes", "What the publications of an App that are on disk count against its limit, by App.", prometheus.GaugeValue, func(r *AppRow) float64 { return float64(r.HistoryBytes) }},
}

func newApps() *Apps {
	a := &Apps{}
	for _, c := range appColumns {
		a.descs = append(a.descs, prometheus.NewDesc(namespace+c.name, c.help, []string{"app"}, nil))
	}
	return a
}

// Bind says where the rows come from; fn is called at each scrape and must not
// block.
func (a *Apps) Bind(fn func() []AppRow) { a.rows.Store(&fn) }

// Describe implements prometheus.Collector.
func (a *Apps) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a *Apps) Collect(ch chan<- prometheus.Metric) {
	fn := a.rows.Load()
	if fn == nil {
		return
	}
	for _, row := range (*fn)() {
		for i, c := range appColumns {
			ch <- prometheus.MustNewConstMetric(a.descs[i], c.kind, c.of(&row), row.App)
		}
	}
}
