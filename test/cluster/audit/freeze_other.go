//go:build !unix

package main

import "errors"

// freeze fails where processes cannot be stopped.
func (a *audit) freeze([]int, func() error) error {
	return errors.New("processes cannot be frozen on this system")
}
