package engine

import "sync"

// Door lets work into an engine until it is closed. The zero value is open.
type Door struct {
	mu     sync.RWMutex // held for reading while work is handed in
	closed bool
}

// Enter reports whether the door is open; Leave must follow if it is.
func (d *Door) Enter() bool {
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return false
	}
	return true
}

// Leave follows Enter.
func (d *Door) Leave() { d.mu.RUnlock() }

// Err is ErrClosed once the door is closed.
func (d *Door) Err() error {
	if !d.Enter() {
		return ErrClosed
	}
	d.Leave()
	return nil
}

// Close closes the door once everybody inside has left, and reports whether it was
// open.
func (d *Door) Close() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := !d.closed
	d.closed = true
	return open
}
