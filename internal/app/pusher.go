package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/api/pusherapi"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/httpstream"
	"github.com/fanfare-push/fanfare/internal/transport/websocket"
)

// pusher adds the Pusher Channels protocol to the table of paths.
func (a *App) pusher(mux *http.ServeMux, origins *transport.Origins) error {
	c := a.cfg.Pusher
	protocol := pusher.New(pusher.Config{
		Keys: appKeys{a.apps}, Log: a.log,
		Count: func(method string, code uint32) {
			a.metrics.Commands.Of(metrics.Command{Method: method, Code: code}).Inc()
		},
		Tell:         a.teller(),
		ClientEvents: c.ClientEvents, SubscriptionCount: c.SubscriptionCount,
		ActivityTimeout: c.ActivityTimeout, EventRate: c.ClientEventRate, MaxData: int(c.MaxEventSize),
	})
	via := metrics.Via{Protocol: metrics.Pusher, Transport: metrics.WebSocket}
	cfg := a.socketConfig(origins, websocket.Subprotocol{Protocol: protocol, Via: via})
	cfg.Hello, cfg.App = pusherHello, a.pusherApp
	socket, err := websocket.New(cfg)
	if err != nil {
		return err
	}
	mux.Handle("/app/{key}", socket)
	mux.Handle(pusherapi.Prefix, a.pusherAPI())
	return a.pusherXHR(mux, protocol, origins)
}

// xhrPath begins the patterns of what takes the place of a WebSocket.
const xhrPath = "/pusher/app/{key}/{server}/{session}/"

// pusherXHR adds what pusher-js falls back to where WebSocket is blocked.
func (a *App) pusherXHR(mux *http.ServeMux, protocol *pusher.Protocol, origins *transport.Origins) error {
	x, err := httpstream.NewXHR(httpstream.XHRConfig{
		Config: httpstream.Config{
			Hub: a.hub, Engine: a.transport, Origins: origins, Log: a.log, Metrics: a.metrics,
			App:     a.pusherApp,
			Hello:   func(r *http.Request) (any, error) { return pusherHello(r), nil },
			Header:  a.toldHeaders(),
			MaxBody: int(a.cfg.Client.MaxMessageSize), BodyTimeout: a.cfg.Client.ConnectTimeout, MaxHandshakes: a.cfg.Client.MaxHandshakes,
		},
		Protocol:  protocol,
		Streaming: metrics.Via{Protocol: metrics.Pusher, Transport: metrics.XHRStreaming},
		Polling:   metrics.Via{Protocol: metrics.Pusher, Transport: metrics.XHRPolling},
	})
	if err != nil {
		return err
	}
	mux.Handle(xhrPath+"xhr_streaming", x.Streaming())
	mux.Handle(xhrPath+"xhr", x.Polling())
	mux.Handle(xhrPath+"xhr_send", x.Send())
	return nil
}

func (a *App) pusherAPI() http.Handler {
	return pusherapi.New(pusherapi.Config{
		Apps: appKeys{a.apps}, Log: a.log,
		MaxData: int(a.cfg.Pusher.MaxEventSize), MaxBody: int(a.cfg.API.MaxBodySize), Count: calls{a.metrics}.APIRequest,
		Auditor: a.auditor(),
		Allow:   a.requestLimit(),
	}, a.hub)
}

// pusherHello is what a request's path and query say to the protocol.
func pusherHello(r *http.Request) any {
	q := r.URL.Query()
	return pusher.Hello{Key: r.PathValue("key"), Protocol: q.Get("protocol"), Client: q.Get("client"), Version: q.Get("version")}
}
