package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/protocol/centrifuge"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/websocket"
)

// centrifuge adds the Centrifuge protocol, over WebSocket and over plain HTTP, to
// the table of paths. version is told to clients.
func (a *App) centrifuge(mux *http.ServeMux, version string, origins *transport.Origins) error {
	cfg := a.centrifugeConfig(version)
	p := centrifuges{json: centrifuge.New(cfg), protobuf: centrifuge.NewProtobuf(cfg), uni: centrifuge.NewUni(cfg)}
	via := metrics.Via{Protocol: metrics.Centrifuge, Transport: metrics.WebSocket}
	socket, err := websocket.New(a.socketConfig(origins,
		websocket.Subprotocol{Name: "centrifuge-json", Protocol: p.json, Via: via},
		websocket.Subprotocol{Name: "centrifuge-protobuf", Protocol: p.protobuf, Binary: true, Via: via},
	))
	if err != nil {
		return err
	}
	mux.Handle("/connection/websocket", socket)
	return a.streams(mux, p, origins)
}

// socketConfig is the same for every WebSocket path.
func (a *App) socketConfig(origins *transport.Origins, protocols ...websocket.Subprotocol) websocket.Config {
	return websocket.Config{
		Hub: a.hub, Engine: a.transport, Origins: origins, Log: a.log, Metrics: a.metrics, Protocols: protocols, Header: a.toldHeaders(),
		MaxMessage: int(a.cfg.Client.MaxMessageSize), MaxHandshakes: a.cfg.Client.MaxHandshakes, NoDeflate: !a.cfg.Client.Compression,
	}
}

// centrifugeConfig is the same for every encoding and transport.
func (a *App) centrifugeConfig(version string) centrifuge.Config {
	return centrifuge.Config{
		Version: version, Log: a.log,
		Count: func(method string, code uint32) {
			a.metrics.Commands.Of(metrics.Command{Method: method, Code: code}).Inc()
		},
		MaxReply: int(a.cfg.Client.OutboxMaxBytes) / 2,
	}
}
