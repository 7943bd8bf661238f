// Package store is the channel log on disk: it appends publications, reads
// ranges of them, trims them and remembers idempotency keys and positions.
//
// It hides Pebble, the layout of keys and values (format.go is that page) and
// the layout of the data directory. It must not know sessions, subscribers or
// who waits for what: durability is a Batch that can be waited for, and what may
// be shown before that is the caller's affair.
//
// Start reading at Entry, then Batch.Apply (the apply step), then format.go.
// DESIGN.md says why it is not done the obvious way.
package store
