package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// family is one metric name with all its series.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	series []series
}

type series struct {
	labels []string
	value  func() float64
}

// families collects what Metrics holds as Counter and Gauge.
type families struct{ list []*family }

// Describe implements prometheus.Collector.
func (f *families) Describe(ch chan<- *prometheus.Desc) {
	for _, fam := range f.list {
		ch <- fam.desc
	}
}

// Collect implements prometheus.Collector.
func (f *families) Collect(ch chan<- prometheus.Metric) {
	for _, fam := range f.list {
		for _, s := range fam.series {
			m, err := prometheus.NewConstMetric(fam.desc, fam.kind, s.value(), s.labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(fam.desc, err)
			}
			ch <- m
		}
	}
}

func (f *families) add(kind prometheus.ValueType, name, help string, labels ...string) *family {
	fam := &family{desc: prometheus.NewDesc(namespace+name, help, labels, nil), kind: kind}
	f.list = append(f.list, fam)
	return fam
}

func (fam *family) counter(labels ...string) *Counter {
	c := &Counter{}
	fam.series = append(fam.series, series{labels, func() float64 { return float64(c.Value()) }})
	return c
}

func (fam *family) gauge(labels ...string) *Gauge {
	g := &Gauge{}
	fam.series = append(fam.series, series{labels, func() float64 { return float64(g.Value()) }})
	return g
}

func (f *families) counter(name, help string) *Counter {
	return f.add(prometheus.CounterValue, name, help).counter()
}

func (f *families) gauge(name, help string) *Gauge {
	return f.add(prometheus.GaugeValue, name, help).gauge()
}

// counters makes one counter for each of keys, and one for all others. values
// turns a key into the values of labels.
func counters[K comparable](f *families, name, help string, labels []string, keys []K, values func(K) []string) Counters[K] {
	fam := f.add(prometheus.CounterValue, name, help, labels...)
	c := Counters[K]{of: make(map[K]*Counter, len(keys))}
	for _, k := range keys {
		c.of[k] = fam.counter(values(k)...)
	}
	others := make([]string, len(labels))
	for i := range others {
		others[i] = Other
	}
	c.other = fam.counter(others...)
	return c
}

// byReason is counters for a list of plain names.
func byReason[K ~string](f *families, name, help, label string, keys []K) Counters[K] {
	return counters(f, name, help, []string{label}, keys, func(k K) []string { return []string{string(k)} })
}
