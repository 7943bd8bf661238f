package websocket

import (
	"context"
	"crypto/sha1" // the handshake's own hash (RFC 6455, 4.2.2); it protects nothing
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// Defaults of Config.
const (
	DefaultMaxMessage    = 512 << 10
	DefaultMaxHandshakes = 2048
)

// handshakeTimeout is how long a client may take to accept the 101.
const handshakeTimeout = 5 * time.Second

// Config is what a Handler is made of. Hub, Engine and Protocols are required.
type Config struct {
	Hub       *hub.Hub
	Engine    transport.Engine
	Protocols []Subprotocol
	Origins   *transport.Origins // nil: only pages of the server's own address
	Log       *slog.Logger
	Metrics   *metrics.Metrics

	// Hello is what a request tells the protocol, in a form of the protocol's own:
	// the Session's State when it is opened. nil: nothing.
	Hello func(*http.Request) any
	// App names the App of a request's session; nil: transport.AppOf.
	App func(*http.Request) string
	// Header is what of a request backends are told; nil: nothing.
	Header func(http.Header) map[string][]string

	MaxMessage    int  // bytes of a message from a client, after inflating; 0: DefaultMaxMessage
	MaxHandshakes int  // connections that are not yet with their shard; 0: DefaultMaxHandshakes
	NoDeflate     bool // never compress
}

// Subprotocol is what a client may ask for in Sec-WebSocket-Protocol.
type Subprotocol struct {
	Name     string // "": served when the client names none
	Protocol hub.Protocol
	Binary   bool // its messages are binary frames
	Via      metrics.Via
}

// served is a Subprotocol in its framings.
type served struct {
	name            string
	plain, deflated *hub.Encoding
}

// Handler upgrades requests and hands their connections to the engine.
type Handler struct {
	cfg       Config
	protocols []served
	gate      *transport.Gate

	refusedOrigin, refusedHandshake *metrics.Counter
}

// New makes a Handler and registers its encodings with the hub.
func New(cfg Config) (*Handler, error) {
	if cfg.Hub == nil || cfg.Engine == nil || len(cfg.Protocols) == 0 {
		return nil, errors.New("websocket: Hub, Engine and Protocols are required")
	}
	if cfg.Origins == nil {
		cfg.Origins = &transport.Origins{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New("")
	}
	if cfg.App == nil {
		cfg.App = transport.AppOf
	}
	if cfg.MaxMessage == 0 {
		cfg.MaxMessage = DefaultMaxMessage
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = DefaultMaxHandshakes
	}
	h := &Handler{
		cfg:              cfg,
		refusedOrigin:    cfg.Metrics.Refused.Of(metrics.RefuseOrigin),
		refusedHandshake: cfg.Metrics.Refused.Of(metrics.RefuseHandshake),
		gate:             transport.NewGate(cfg.Hub, cfg.MaxHandshakes, cfg.Metrics, cfg.Log),
	}
	for _, p := range cfg.Protocols {
		h.protocols = append(h.protocols, served{
			name:     p.Name,
			plain:    cfg.Hub.NewEncoding(p.Protocol, newFraming(p.Binary, false), p.Via),
			deflated: cfg.Hub.NewEncoding(p.Protocol, newFraming(p.Binary, true), p.Via),
		})
	}
	return h, nil
}

// ServeHTTP upgrades a request, or answers in HTTP why it cannot.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, why := checkUpgrade(r); status != 0 {
		h.refusedHandshake.Inc()
		if status == http.StatusUpgradeRequired {
			w.Header().Set("Sec-WebSocket-Version", "13")
			w.Header().Set("Upgrade", "websocket")
		}
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodGet)
		}
		http.Error(w, why, status)
		return
	}
	if !h.cfg.Origins.Allowed(r) {
		h.refusedOrigin.Inc()
		http.Error(w, "this origin may not connect; the server's client.allowed_origins says which may", http.StatusForbidden)
		return
	}
	if denial := h.gate.Begin(r); denial != nil {
		deny(w, denial)
		return
	}
	place, denial := h.gate.Enter(r, h.cfg.App(r))
	if denial != nil {
		h.gate.Done()
		deny(w, denial)
		return
	}
	if err := h.upgrade(w, r, place); err != nil {
		h.gate.Done()
		place.Release()
		h.cfg.Log.Debug("upgrade failed", "remote", r.RemoteAddr, "error", err)
	}
}

// deny asks for another try.
func deny(w http.ResponseWriter, d *transport.Denial) {
	d.SetHeader(w.Header())
	http.Error(w, d.Err.Error(), d.Status)
}

// upgrade answers 101 and gives the connection away. The slot of the gate and of
// the hub are given back here only on an error.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, place hub.Place) error {
	proto := h.choose(r.Header)
	extension := ""
	if !h.cfg.NoDeflate {
		extension = negotiate(r.Header["Sec-Websocket-Extensions"])
	}
	nc, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot be upgraded; use HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return err
	}
	if err := nc.SetWriteDeadline(time.Now().Add(handshakeTimeout)); err != nil { // the engine lifts it
		return errors.Join(err, nc.Close())
	}
	if _, err := nc.Write(response(r.Header.Get("Sec-Websocket-Key"), proto.name, extension)); err != nil {
		return errors.Join(err, nc.Close())
	}
	early, err := buf.Peek(buf.Reader.Buffered())
	if err != nil {
		return errors.Join(err, nc.Close())
	}
	c := &conn{handler: h}
	var hello any
	if h.cfg.Hello != nil {
		hello = h.cfg.Hello(r)
	}
	if h.cfg.Header != nil {
		hello = hub.Greet(hello, h.cfg.Header(r.Header))
	}
	enc := proto.plain
	if extension != "" {
		c.flags |= deflated
		enc = proto.deflated
	}
	return h.cfg.Engine.Adopt(place.Shard, nc, early, func(s transport.Stream) transport.Receiver {
		h.gate.Done()
		c.stream = s
		c.session = place.Open(c, enc, hello)
		return c
	})
}

// checkUpgrade returns the status and text of a refusal; 0: it is an upgrade.
func checkUpgrade(r *http.Request) (int, string) {
	switch {
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "a WebSocket connection begins with GET"
	case !hasToken(r.Header["Upgrade"], "websocket") || !hasToken(r.Header["Connection"], "upgrade"):
		return http.StatusUpgradeRequired, "this is a WebSocket endpoint: the request must have Upgrade: websocket and Connection: Upgrade"
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13"
	case !validKey(r.Header.Get("Sec-Websocket-Key")):
		return http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64"
	}
	return 0, ""
}

// hasToken looks for a token in comma-separated headers, whatever its case.
func hasToken(headers []string, token string) bool {
	for _, line := range headers {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

func validKey(key string) bool {
	var b [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(b[:], []byte(key))
	return err == nil && n == 16
}

// choose takes the first subprotocol of the client's list that is served; one
// that names none, or only unknown ones, gets the first of ours and no answer to
// its list.
func (h *Handler) choose(header http.Header) served {
	for _, line := range header["Sec-Websocket-Protocol"] {
		for part := range strings.SplitSeq(line, ",") {
			name := strings.TrimSpace(part)
			for _, p := range h.protocols {
				if p.name == name && name != "" {
					return p
				}
			}
		}
	}
	p := h.protocols[0]
	p.name = ""
	return p
}

// response is the 101 (RFC 6455, 4.2.2).
func response(key, protocol, extension string) []byte {
	b := append(make([]byte, 0, 256),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if protocol != "" {
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	if extension != "" {
		b = append(append(b, "\r\nSec-WebSocket-Extensions: "...), extension...)
	}
	return append(b, "\r\n\r\n"...)
}

// Close waits until every connection is gone; the hub is shut down before.
func (h *Handler) Close(ctx context.Context) error { return h.cfg.Engine.Close(ctx) }
