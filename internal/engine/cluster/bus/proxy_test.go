package bus

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between two who speak over TCP, and can be stopped and cut.
type proxy struct {
	net.Listener

	target string
	gate   sync.RWMutex // held for writing: no byte passes
	pumps  sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// newProxy makes one that leads to an address. The end of the test closes it.
func newProxy(tb testing.TB, target string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{Listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.pumps.Go(p.accept)
	tb.Cleanup(func() {
		l.Close()
		p.setCut(true)
		p.pumps.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		from, err := p.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil || !p.add(from, to) {
			from.Close()
			if to != nil {
				to.Close()
			}
			continue
		}
		p.pumps.Go(func() { p.pump(from, to) })
		p.pumps.Go(func() { p.pump(to, from) })
	}
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *proxy) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.gate.RLock()
		_, err = to.Write(buf[:n])
		p.gate.RUnlock()
		if err != nil {
			return
		}
	}
}

// setCut ends what passes and lets nothing new through, or lets it again.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}
