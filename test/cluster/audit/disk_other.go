//go:build !linux

package main

import (
	"context"
	"errors"
)

func smallDisk(context.Context, string) (unmount func() error, err error) {
	return func() error { return nil }, errors.New("-mount: only on Linux")
}
