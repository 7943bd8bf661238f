package proxies

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/transport"
)

// Config is what Proxies are made of.
type Config struct {
	Trusted []string     // addresses, and networks as in 10.0.0.0/8 (CIDR, RFC 4632)
	Log     *slog.Logger // nil: nothing is logged
	// Refused is told of each connection whose PROXY header cannot be read; nil:
	// nobody.
	Refused func()
}

// Proxies are those whose word is taken for the address of a client.
type Proxies struct {
	cfg     Config
	trusted []netip.Prefix
}

// New makes Proxies; it fails for what is neither an address nor a network.
func New(cfg Config) (*Proxies, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Refused == nil {
		cfg.Refused = func() {}
	}
	p := &Proxies{cfg: cfg}
	for _, text := range cfg.Trusted {
		prefix, err := parse(text)
		if err != nil {
			return nil, err
		}
		p.trusted = append(p.trusted, prefix)
	}
	return p, nil
}

func parse(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", text)
	}
	return prefix.Masked(), nil
}

func (p *Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Handler gives next the client's address in Request.RemoteAddr, with port 0 where
// the port is not known, and the connection that it may hijack.
func (p *Proxies) Handler(next http.Handler) http.Handler {
	if len(p.trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := p.forwarded(transport.ClientAddr(r), r.Header["X-Forwarded-For"]); ok {
			at := netip.AddrPortFrom(client, 0)
			r.RemoteAddr = at.String()
			w = &writer{ResponseWriter: w, client: net.TCPAddrFromAddrPort(at)}
		}
		next.ServeHTTP(w, r)
	})
}

// forwarded is the last address in the lists that is not a trusted proxy's, where
// the peer and every address after it are. Each proxy appends whom it was asked by,
// so what is before that is only what the client said. With nothing but trusted
// proxies it is the first; what cannot be read ends the search at the proxy that
// passed it on.
func (p *Proxies) forwarded(peer netip.Addr, lists []string) (client netip.Addr, ok bool) {
	client = peer
	for _, list := range slices.Backward(lists) {
		for list != "" {
			rest, last := "", list
			if comma := strings.LastIndexByte(list, ','); comma >= 0 {
				rest, last = list[:comma], list[comma+1:]
			}
			list = rest
			if !p.trusts(client) {
				return client, ok
			}
			a, err := address(strings.TrimSpace(last))
			if err != nil {
				return client, ok
			}
			client, ok = a, true
		}
	}
	return client, ok
}

// address takes an address with or without a port, as some proxies write it.
func address(s string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return a.Unmap().WithZone(""), err
}

// writer hands on connections that know whom they come from.
type writer struct {
	http.ResponseWriter

	client net.Addr
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return transport.Front(c, nil, w.client), buf, nil
}
