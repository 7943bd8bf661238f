package app

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/protocol/centrifuge"
	"github.com/fanfare-push/fanfare/internal/protocol/plain"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/httpstream"
	"github.com/fanfare-push/fanfare/internal/transport/websocket"
)

// Media types of the Centrifuge protocol's encodings.
const (
	jsonMedia     = "application/json"
	protobufMedia = "application/octet-stream"
)

// centrifuges are the encodings of the protocol; one value of each serves every
// transport, so that a publication is encoded once for all of them.
type centrifuges struct {
	json, protobuf, uni *centrifuge.Protocol
}

// streams adds everything over plain HTTP to the table of paths.
func (a *App) streams(mux *http.ServeMux, p centrifuges, origins *transport.Origins) error {
	emulation, err := httpstream.NewEmulation(httpstream.EmulationConfig{
		Hub: a.hub, Origins: origins, Log: a.log, Metrics: a.metrics, MaxBody: int(a.cfg.Client.MaxMessageSize),
		Decode: map[string]func([]byte) (httpstream.Spoken, error){
			jsonMedia:     spoken(centrifuge.DecodeEmulationJSON),
			protobufMedia: spoken(centrifuge.DecodeEmulationProtobuf),
		},
	})
	if err != nil {
		return err
	}
	mux.Handle("/emulation", emulation)
	via := func(t metrics.Transport) metrics.Via { return metrics.Via{Protocol: metrics.Centrifuge, Transport: t} }
	variant := func(p *centrifuge.Protocol, f httpstream.Format, t metrics.Transport) httpstream.Variant {
		return httpstream.Variant{Protocol: p, Format: f, Via: via(t), Goodbye: p.AppendDisconnect}
	}
	protobuf := variant(p.protobuf, httpstream.Raw, metrics.HTTPStream)
	protobuf.MediaType = protobufMedia
	for path, cfg := range map[string]httpstream.Config{
		"/connection/http_stream": {
			Variants: []httpstream.Variant{variant(p.json, httpstream.Lines, metrics.HTTPStream), protobuf},
			Method:   http.MethodPost, Emulated: true,
		},
		"/connection/sse": {
			Variants: []httpstream.Variant{variant(p.json, httpstream.Events, metrics.SSE)},
			Method:   http.MethodGet, Param: "cf_connect", Emulated: true,
		},
		"/connection/uni_http_stream": {
			Variants: []httpstream.Variant{variant(p.uni, httpstream.Lines, metrics.UniHTTPStream)},
			Method:   http.MethodPost,
		},
		"/connection/uni_sse": {
			Variants: []httpstream.Variant{variant(p.uni, httpstream.Events, metrics.UniSSE)},
			Param:    "cf_uni_connect",
		},
	} {
		if err := a.stream(mux, path, cfg, origins); err != nil {
			return err
		}
	}
	if err := a.plain(mux, origins); err != nil {
		return err
	}
	socket, err := websocket.New(a.socketConfig(origins, websocket.Subprotocol{Protocol: p.uni, Via: via(metrics.UniWebSocket)}))
	if err != nil {
		return err
	}
	mux.Handle("/connection/uni_websocket", socket)
	return nil
}

// plain adds what needs no SDK.
func (a *App) plain(mux *http.ServeMux, origins *transport.Origins) error {
	hello := func(r *http.Request) (any, error) {
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		return plain.Parse(r.URL.Query(), bearer, r.Header.Get("Last-Event-ID"))
	}
	err := a.stream(mux, "/sse", httpstream.Config{
		Method: http.MethodGet, Hello: hello,
		Variants: []httpstream.Variant{{
			Protocol: plain.Stream{}, Format: httpstream.Raw, ContentType: "text/event-stream; charset=utf-8",
			Via:     metrics.Via{Protocol: metrics.Plain, Transport: metrics.SSE},
			Goodbye: plain.AppendDisconnect, Refuse: true, Retry: plain.AppendRetry,
		}},
	}, origins)
	if err != nil {
		return err
	}
	return a.stream(mux, "/poll", httpstream.Config{
		Method: http.MethodGet, Hello: hello,
		Variants: []httpstream.Variant{{
			Protocol: plain.Poll{}, Format: httpstream.Whole, ContentType: jsonMedia, Refuse: true,
			Via: metrics.Via{Protocol: metrics.Plain, Transport: metrics.LongPoll},
		}},
	}, origins)
}

// stream adds one path whose responses carry sessions.
func (a *App) stream(mux *http.ServeMux, path string, cfg httpstream.Config, origins *transport.Origins) error {
	cfg.Hub, cfg.Engine, cfg.Origins, cfg.Log, cfg.Metrics = a.hub, a.transport, origins, a.log, a.metrics
	cfg.MaxBody, cfg.MaxHandshakes = int(a.cfg.Client.MaxMessageSize), a.cfg.Client.MaxHandshakes
	cfg.BodyTimeout, cfg.Header = a.cfg.Client.ConnectTimeout, a.toldHeaders()
	h, err := httpstream.New(cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	mux.Handle(path, h)
	return nil
}

// spoken takes what the protocol read for what the transport hands on.
func spoken(decode func([]byte) (centrifuge.Emulated, error)) func([]byte) (httpstream.Spoken, error) {
	return func(body []byte) (httpstream.Spoken, error) {
		said, err := decode(body)
		return httpstream.Spoken(said), err
	}
}
