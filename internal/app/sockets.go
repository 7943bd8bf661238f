package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/protocol/centrifuge"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/websocket"
)

// centrifugeSocket is the Centrifuge protocol over WebSocket. version is told to
// clients.
func (a *App) centrifugeSocket(version string) (http.Handler, error) {
	origins, err := transport.NewOrigins(a.cfg.Client.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	cfg := a.centrifugeConfig(version)
	via := metrics.Via{Protocol: metrics.Centrifuge, Transport: metrics.WebSocket}
	return websocket.New(websocket.Config{
		Hub: a.hub, Engine: a.transport, Origins: origins, Log: a.log, Metrics: a.metrics,
		Protocols: []websocket.Subprotocol{
			{Name: "centrifuge-json", Protocol: centrifuge.New(cfg), Via: via},
			{Name: "centrifuge-protobuf", Protocol: centrifuge.NewProtobuf(cfg), Binary: true, Via: via},
		},
		MaxMessage: int(a.cfg.Client.MaxMessageSize), MaxHandshakes: a.cfg.Client.MaxHandshakes, NoDeflate: !a.cfg.Client.Compression,
	})
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
