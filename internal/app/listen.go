package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// keepAlive is none of TCP's: sessions are pinged, other connections have an idle
// timeout, and its options are four system calls for each connection.
const keepAlive = -1

// listen takes the address, or says what to do about one that cannot be had.
func listen(addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{KeepAlive: keepAlive}).Listen(context.Background(), "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: %w; stop the program that uses the port, or choose another: --listen 127.0.0.1:8001, or port 0 for any", addr, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("listen on %s: %w; ports below 1024 want a privilege, choose a higher one with --listen", addr, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}
