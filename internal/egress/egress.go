package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Errors of calls that are not made.
var (
	ErrAddress = errors.New("the address is not public")
	ErrScheme  = errors.New("the URL must be https")
	ErrURL     = errors.New("not a URL of a host")
)

// Config is what a client is made of.
type Config struct {
	// Trusted hosts, as they stand in URLs without port, may be reached by plain HTTP
	// and at any address, also a private one.
	Trusted []string
	Timeout time.Duration // of a whole call, body included
	TLS     *tls.Config   // nil: the system's authorities
	MaxIdle int           // connections to one host that are kept for later calls; 0: 1
}

// maxHeader bounds the headers of a response, in bytes.
const maxHeader = 16 << 10

// dialTimeout bounds one attempt to connect.
const dialTimeout = 5 * time.Second

// idleTimeout is less than after what common servers close a connection, so that
// none is used at the moment it is closed.
const idleTimeout = 4 * time.Second

// New makes a client that follows no redirect (the response of one is returned),
// uses no proxy, inflates nothing, and connects to public addresses only, except
// for trusted hosts. Check says beforehand what it would refuse for the URL.
func New(cfg Config) *http.Client {
	t := &http.Transport{
		DialContext:            dialer(cfg.Trusted),
		TLSClientConfig:        cfg.TLS,
		TLSHandshakeTimeout:    dialTimeout,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    max(cfg.MaxIdle, 1),
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      true,
	}
	return &http.Client{
		Transport:     &checked{t, cfg.Trusted},
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checked refuses requests by their URL.
type checked struct {
	*http.Transport
	trusted []string
}

// RoundTrip implements http.RoundTripper.
func (c *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := check(r.URL, c.trusted); err != nil {
		return nil, err
	}
	return c.Transport.RoundTrip(r)
}

// Check reports why a URL may not be called: ErrURL, ErrScheme, or, for an address
// in place of a name, ErrAddress.
func Check(target string, trusted []string) error {
	u, err := url.Parse(target)
	if err != nil {
		return ErrURL // the text of err holds what may be a password
	}
	return check(u, trusted)
}

func check(u *url.URL, trusted []string) error {
	host := u.Hostname()
	isHTTP := u.Scheme == "http" || u.Scheme == "https"
	switch {
	case !isHTTP || host == "" || u.User != nil:
		return ErrURL
	case isTrusted(host, trusted):
		return nil
	case u.Scheme != "https":
		return ErrScheme
	}
	if addr, err := netip.ParseAddr(host); err == nil && !Public(addr) {
		return fmt.Errorf("%w: %s", ErrAddress, addr)
	}
	return nil
}

func isTrusted(host string, trusted []string) bool {
	return slices.ContainsFunc(trusted, func(t string) bool { return strings.EqualFold(t, host) })
}

// dialer judges what a name has resolved to, at the moment of connecting.
func dialer(trusted []string) func(context.Context, string, string) (net.Conn, error) {
	open := &net.Dialer{Timeout: dialTimeout}
	guarded := &net.Dialer{Timeout: dialTimeout, Control: control}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err == nil && isTrusted(host, trusted) {
			return open.DialContext(ctx, network, address)
		}
		return guarded.DialContext(ctx, network, address)
	}
}

func control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !Public(to.Addr()) {
		return fmt.Errorf("%w: %s", ErrAddress, address)
	}
	return nil
}
