// Package mixed holds the proof that protocols share a channel: clients of every
// kind are shown the same publications, in the same order, with the same meaning,
// while the network cuts their connections at random bytes.
//
//	go test ./test/mixed -v                      # prints its seed
//	go test ./test/mixed -seed 7 -publications 50000
//
// Publishers speak the server API, the Centrifuge protocol and Pusher's HTTP API.
// Subscribers are a Centrifuge client in JSON and one in Protobuf, an EventSource,
// a long-poller, and a Pusher client. test/audit/check compares what they saw with
// the history. All but the Pusher client resume, and must see everything once and
// in order. Pusher's protocol has no positions: each of its connections must see
// what was published since it was subscribed, without a gap, and never again what
// an earlier one saw; what passed between two connections is gone for it.
//
// It owns the run and what docs/message-format.md says of each way. It must know
// of the server only what the documentation says. Start reading at mixed_test.go.
package mixed
