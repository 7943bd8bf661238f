// Package metrics owns every number that a node shows on /metrics: its name,
// its labels and their closed lists of values, its meaning.
//
// It hides Prometheus. It must not know any other package of the project: who
// counts something takes its counter from Metrics once and increments it, or has
// a value of its own bound to it by the composition root.
//
// Start reading at Metrics, then labels.go. docs/metrics.md is generated from
// here: go test ./internal/metrics -update.
package metrics
