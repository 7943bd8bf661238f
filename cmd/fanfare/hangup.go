package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onHangup calls fn at each SIGHUP until stop is called, which waits for a call
// under way. Where fn is nil the signal keeps its meaning: it ends the process.
func onHangup(fn func()) (stop func()) {
	if fn == nil {
		return func() {}
	}
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer close(done)
		for range signals {
			fn()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
