//go:build unix

package main

import (
	"context"
	"errors"
	"syscall"
)

// freeze stops a process where it is, as a machine does that swaps or is moved.
func (a *audit) freeze(ctx context.Context, f *fault, _ *row) error {
	srv := a.Server(f.order[0])
	if err := srv.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, f.hold)
	return errors.Join(err, srv.Signal(syscall.SIGCONT))
}
