// Package hub is the core: it owns sessions, subscriptions and outboxes, and
// brings publications to them.
//
// Sessions are spread over P shards. A shard runs on one goroutine, which alone
// touches its sessions, its subscription table and its outboxes, so that none of
// them needs a lock. It hides fan-out, recovery merge, timers and back-pressure;
// it must not know bytes on the wire (transport), what they mean (protocol), or
// where history lives (engine).
//
// Start reading at Hub.Publish, then Hub.Publication, then Shard.Turn.
package hub
