package mixed

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
)

// network is one client's way to the server: every connection breaks after some
// bytes, in the middle of whatever they are.
type network struct {
	mu     sync.Mutex
	random *rand.Rand
	most   int64 // bytes that a connection lasts
	cuts   int
	client *http.Client
}

var errCut = errors.New("cut")

func newNetwork(random *rand.Rand, most int64) *network {
	n := &network{random: random, most: most}
	n.client = &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	return n
}

func (n *network) close() { n.client.CloseIdleConnections() }

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return &frail{Conn: c, network: n, left: 1 + n.random.Int64N(n.most)}, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts++
}

// frail is a connection that breaks. What arrived before is read to the last byte.
type frail struct {
	net.Conn
	network *network
	left    int64
	once    sync.Once
}

func (f *frail) Read(b []byte) (int, error) {
	if f.left <= 0 {
		f.once.Do(f.network.cut)
		_ = f.Close()
		return 0, errCut
	}
	n, err := f.Conn.Read(b[:min(int64(len(b)), f.left)])
	f.left -= int64(n)
	return n, err
}
