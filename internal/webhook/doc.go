// Package webhook tells a backend what happens to sessions and on channels, by HTTP
// calls in the form of Pusher Channels' webhooks: at least once, in order for each
// channel, tried again until they succeed or become dead letters, and across
// restarts and kills.
//
// It owns which changes are worth telling, the queue, and the calls. The queue is
// a channel of the engine that no client can name, so that its order and
// durability are the engine's; where each receiver stands is another. It must not
// know sessions, transports or protocols.
//
// Where nodes share an engine they share the queue. Each puts there what happened to
// its own sessions; one of them, whose term it is, decides on channels and members,
// and tells.
//
// Start reading at Dispatcher, then term.go, outbox.go for the way into the queue,
// watcher.go, sender.go, and roster.go for those who went with a killed process.
package webhook
