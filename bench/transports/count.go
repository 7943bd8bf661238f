package transports

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// counter is what one way to receive costs on the wire.
type counter struct {
	requests atomic.Int64
	bytes    atomic.Int64 // in TCP connections, both ways; with TLS, encrypted
}

// client is an HTTP client with connections of its own, whose cost is counted.
func (c *counter) client() *http.Client {
	var d net.Dialer
	return &http.Client{Transport: roundTripper{c, &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return counted{conn, c}, nil
		},
		// The server compresses no stream; asking for it would only add bytes.
		DisableCompression: true,
	}}}
}

type roundTripper struct {
	*counter
	*http.Transport
}

// RoundTrip implements http.RoundTripper.
func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	r.requests.Add(1)
	return r.Transport.RoundTrip(req)
}

type counted struct {
	net.Conn
	*counter
}

// Read implements net.Conn.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}
