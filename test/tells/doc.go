// Package tells holds the built server to what it tells a backend by webhooks, over
// kills of the process and with a backend that comes and goes.
//
// It holds tests only. It must not know the server's code. Start reading at
// tells_test.go.
package tells
