package store

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// logger gives Pebble's words to slog, below what an operator has to see.
type logger struct {
	log   *slog.Logger
	fatal func(reason string)
}

// Infof implements pebble.Logger.
func (l *logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l *logger) Errorf(format string, args ...any) {
	l.log.Warn("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger: it must not return. Should OnFatal not have
// ended the process, the panic does, unless a commit is there to catch it.
func (l *logger) Fatalf(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if l.fatal != nil {
		l.fatal(reason)
	}
	panic(reason)
}

// events listens only to what Status and operators need.
func events(cfg *Config) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			cfg.Logger.Warn("store cannot compact, it tries again", "error", err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if cfg.OnCorrupt != nil {
				cfg.OnCorrupt(info.String())
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			cfg.Logger.Warn("store holds writes until it has compacted", "reason", info.Reason)
		},
	}
}
