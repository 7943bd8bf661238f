package node

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// embedded is a NATS server in this process.
type embedded struct {
	*server.Server

	lock    io.Closer
	quorum  int // how many core nodes are a majority, this one included
	stopped atomic.Bool
}

// routeUser is who core nodes are to each other; their secret is the password.
const routeUser = "core"

// startServer starts the server and waits until it takes connections.
func startServer(cfg *Config) (*embedded, error) {
	size := cfg.Size
	if size == 0 {
		size = len(cfg.Peers) + 1
	}
	if size != 1 && size != 3 && size != 5 {
		return nil, fmt.Errorf("%w, not %d", ErrSize, size)
	}
	opts, err := serverOptions(cfg, size)
	if err != nil {
		return nil, err
	}
	// NATS does not lock its directory, and two servers in one destroy it.
	lock, err := store.Lock(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure the cluster's server: %w", err), lock.Close())
	}
	e := &embedded{Server: s, lock: lock, quorum: size/2 + 1}
	log := &logger{log: cfg.Logger}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if fatal := log.fatal.Load(); fatal != nil {
		return nil, errors.Join(fmt.Errorf("the cluster's server does not start: %s", *fatal), e.stop())
	}
	if !s.ReadyForConnections(readyTimeout) {
		return nil, errors.Join(errors.New("the cluster's server does not start"), e.stop())
	}
	return e, nil
}

func serverOptions(cfg *Config, size int) (*server.Options, error) {
	opts := &server.Options{
		ServerName: cfg.Name, DontListen: cfg.Listen == "", NoSigs: true, NoLog: true, DisableJetStreamBanner: true,
		MaxPayload: MaxPayload, MaxPending: 256 << 20,
		JetStream: true, StoreDir: cfg.Dir,
		SyncAlways: true, // a publication that is acknowledged is on the disks of a majority
	}
	if cfg.Listen == "" {
		if size > 1 {
			return nil, errors.New("core nodes need an address to listen on")
		}
		return opts, nil
	}
	if len(cfg.Peers) == 0 {
		return nil, errors.New("core nodes need the address of one of their peers at least")
	}
	if cfg.Secret == "" {
		return nil, ErrNoSecret
	}
	host, port, err := address(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("address for core nodes: %w", err)
	}
	// NATS forms a cluster only once it listens for clients too.
	opts.Authorization = cfg.Secret
	if opts.Host, opts.Port, err = address(cmp.Or(cfg.ListenClients, loopback)); err != nil {
		return nil, fmt.Errorf("address for edge nodes: %w", err)
	}
	if cfg.TLS != nil && cfg.ListenClients != "" {
		opts.TLS, opts.TLSConfig, opts.TLSTimeout, opts.AllowNonTLS = true, cfg.TLS, 2, false
	}
	opts.Cluster = server.ClusterOpts{
		Name: cfg.Cluster, Host: host, Port: port, Advertise: cfg.Advertise,
		Username: routeUser, Password: cfg.Secret, AuthTimeout: 2,
		PingInterval: pingEvery, MaxPingsOut: maxPingsOut, ConnectRetries: -1,
	}
	if cfg.TLS != nil {
		opts.Cluster.TLSConfig, opts.Cluster.TLSTimeout = cfg.TLS, 2
	}
	for _, peer := range cfg.Peers {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: peer, User: url.UserPassword(routeUser, cfg.Secret)})
	}
	return opts, nil
}

// loopback is where nobody outside of the machine comes.
const loopback = "127.0.0.1:0"

func address(hostport string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(hostport)
	if err == nil {
		port, err = strconv.Atoi(number)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, err
}

func (e *embedded) addr() net.Addr {
	if a := e.ClusterAddr(); a != nil {
		return a
	}
	return nil
}

// status counts the core nodes that can be reached.
func (e *embedded) status() engine.Status {
	seen := 1
	if e.quorum > 1 {
		names := map[string]bool{}
		if z, err := e.Routez(nil); err == nil {
			for _, r := range z.Routes {
				names[r.RemoteID] = true
			}
		}
		seen += len(names)
	}
	if seen < e.quorum {
		return engine.Status{Reason: fmt.Sprintf("no quorum: %d core nodes can be reached, %d are needed", seen, e.quorum)}
	}
	if !e.JetStreamEnabled() {
		return engine.Status{Reason: "the cluster's server has switched its store off, perhaps for want of space: start this node again"}
	}
	if !e.JetStreamIsCurrent() {
		return engine.Status{Reason: "joining the cluster: it has no leader yet, or is ahead"}
	}
	return engine.Status{Ready: true}
}

// stop stops the server. Shutdown hands leadership over; NATS' lame duck mode
// does nothing in a server that does not listen for clients.
func (e *embedded) stop() error {
	if e == nil {
		return nil
	}
	e.Shutdown()
	e.WaitForShutdown()
	if e.stopped.Swap(true) {
		return nil
	}
	return e.lock.Close()
}

// logger gives the server's words to slog.
type logger struct {
	log   *slog.Logger
	fatal atomic.Pointer[string] // the first thing that it cannot go on after
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug("nats", "text", text(format, v)) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warn("nats", "text", text(format, v)) }
func (l *logger) Errorf(format string, v ...any)  { l.log.Warn("nats", "text", text(format, v)) }
func (l *logger) Debugf(string, ...any)           {}
func (l *logger) Tracef(string, ...any)           {}

// Fatalf would end the process in NATS' own program.
func (l *logger) Fatalf(format string, v ...any) {
	reason := text(format, v)
	l.fatal.CompareAndSwap(nil, &reason)
	l.log.Error("nats", "text", reason)
}

func text(format string, v []any) string { return strings.TrimSpace(fmt.Sprintf(format, v...)) }
