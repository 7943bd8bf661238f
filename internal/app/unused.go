package app

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// unusedPatience is how long a stop waits for the first request of a connection.
const unusedPatience = 200 * time.Millisecond

// unused are the connections of a server that no request has come on. HTTP clients
// open some that they then have no use for, and http.Server.Shutdown waits five
// seconds for each.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// note is an http.Server's ConnState.
func (u *unused) note(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s == http.StateNew {
		u.conns[c] = struct{}{}
	} else {
		delete(u.conns, c)
	}
}

// close ends them.
func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		_ = c.Close() // nobody waits for anything on it
	}
}
