package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/websocket"
)

// Limits of this server; suites send messages of up to 16 MiB.
const (
	maxMessage        = 16 << 20
	maxOutbox         = 4 * maxMessage
	readHeaderTimeout = 10 * time.Second
	stopTimeout       = 10 * time.Second
	never             = 24 * time.Hour // an echo needs no connect command
)

// settings are the flags.
type settings struct {
	listen    string
	deflate   bool
	tls       bool
	transport string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It logs to out, the address that was taken first.
func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:9001", "address and port")
	flags.BoolVar(&s.deflate, "deflate", false, "agree to permessage-deflate")
	flags.BoolVar(&s.tls, "tls", false, "serve wss:// with a certificate that is made at the start")
	flags.StringVar(&s.transport, "transport", "auto", "auto, or goroutine for the portable engine")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	if s.tls {
		cfg, err := selfSigned()
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		ln = transport.TLSListener(ln, cfg)
	}
	return serve(ctx, s, ln, slog.New(slog.NewTextHandler(out, nil)))
}

func serve(ctx context.Context, s settings, ln net.Listener, log *slog.Logger) error {
	eng := transport.New(transport.Options{})
	if s.transport == "goroutine" {
		eng = transport.NewGoroutines(transport.Options{})
	}
	namespaces, err := channel.NewNamespaces(channel.Options{}, nil)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	h, err := hub.New(hub.Config{
		Engine: silent{}, Namespaces: namespaces, Auth: closed{}, NewLoop: eng.NewLoop,
		ConnectTimeout: never, OutboxMax: maxOutbox, Log: log,
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	handler, err := websocket.New(websocket.Config{
		Hub: h, Engine: eng, Protocols: []websocket.Subprotocol{{Protocol: echo{}}},
		MaxMessage: maxMessage, NoDeflate: !s.deflate, Log: log,
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	log.Info("listening", "addr", ln.Addr().String(), "deflate", s.deflate, "tls", s.tls, "transport", s.transport)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(err, h.Shutdown(stopping), srv.Shutdown(stopping), handler.Close(stopping))
}

// echo is the Protocol.
type echo struct{}

var _ hub.Protocol = echo{}

func (echo) Name() string                           { return "echo" }
func (echo) Open(*hub.Session)                      {}
func (echo) Receive(s *hub.Session, msg []byte)     { websocket.Echo(s, msg) }
func (echo) Ping(*hub.Session)                      {}
func (echo) Tell(*hub.Session, hub.Notice)          {}
func (echo) Append(dst []byte, _ *hub.Event) []byte { return dst }

// silent is an Engine of which an echo asks nothing.
type silent struct{ engine.Engine }

// Attach implements engine.Engine.
func (silent) Attach(engine.Follower) {}

// closed lets nobody in; nobody asks.
type closed struct{}

func (closed) Connection(string) (*channel.Identity, error) { return nil, channel.ErrTokenInvalid }

func (closed) Subscription(string) (*channel.SubscriptionGrant, error) {
	return nil, channel.ErrTokenInvalid
}
