//go:build unix

package main

import (
	"errors"
	"syscall"
)

// freeze stops processes where they are, until meanwhile has ended.
func (a *audit) freeze(nodes []int, meanwhile func() error) error {
	var errs []error
	for _, i := range nodes {
		errs = append(errs, a.Server(i).Signal(syscall.SIGSTOP))
	}
	errs = append(errs, meanwhile())
	for _, i := range nodes {
		errs = append(errs, a.Server(i).Signal(syscall.SIGCONT))
	}
	return errors.Join(errs...)
}
