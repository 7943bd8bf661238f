// Package check compares what publishers were promised and subscribers were shown
// with what the history holds in the end.
//
// It owns the record of a run and the faults that a record can have. It is pure:
// it knows neither servers nor clients, so every fault can be made up and must be
// found. Start reading at Check.
package check
