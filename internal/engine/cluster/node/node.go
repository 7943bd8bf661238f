package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Defaults and limits.
const (
	// MaxPayload is the largest message between nodes, in bytes. An external
	// NATS decides by itself, and log messages are cut to what it allows.
	MaxPayload = 8 << 20

	readyTimeout  = 30 * time.Second
	pingEvery     = time.Second // between nodes: one that is frozen is missed after pingEvery × maxPingsOut
	maxPingsOut   = 2
	reconnectWait = 250 * time.Millisecond
)

// Config says where the node finds NATS. With URLs it is an external one, and
// what belongs to the embedded server is ignored.
type Config struct {
	Name   string // of the node, unique in the cluster
	Logger *slog.Logger

	// Embedded.
	Dir     string   // the server's directory; made if need be
	Cluster string   // name of the cluster; must be the same on every node
	Listen  string   // host:port for the other nodes; "": a cluster of one, without a port
	Peers   []string // host:port of the other core nodes
	Size    int      // of the cluster in core nodes: 1, 3 or 5; 0: this node and its Peers
	Secret  string   // shared by the core nodes; must be set with Listen
	TLS     *tls.Config
	// ListenClients is host:port for edge nodes, which show the secret; "": only
	// this machine can connect, at a port of chance. Needs Listen.
	ListenClients string
	// Advertise is the host:port that others reach this node under; "": Listen.
	Advertise string

	// External.
	URLs []string // nats:// or tls://
	// Alone says to use only the servers of URLs, and not those that they tell of:
	// where others are behind addresses that cannot be reached.
	Alone       bool
	Credentials string // file of user credentials; "": none
	User        string
	Password    string
	Token       string
	ClientTLS   *tls.Config // nil: as the URL says
}

// Node is the way to NATS. Conn is its connection; its users leave it open.
type Node struct {
	cfg    Config
	conn   *nats.Conn
	server *embedded // nil: external
}

// Errors of Start that settings cause.
var (
	ErrNoSecret = errors.New("core nodes need a shared secret")
	ErrSize     = errors.New("a cluster has 1, 3 or 5 core nodes")
)

// Start starts the embedded server, or not, and connects. It does not wait for
// other nodes: Status tells when they are there.
func Start(cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{cfg: cfg}
	if len(cfg.URLs) == 0 {
		s, err := startServer(&n.cfg)
		if err != nil {
			return nil, err
		}
		n.server = s
	}
	conn, err := n.Connect()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to NATS: %w", err), n.server.stop())
	}
	n.conn = conn
	return n, nil
}

// inProcessTimeout is how long a connection within the process may take. No network
// can be at fault: it is slow where the machine is busy, which is no reason to fail.
const inProcessTimeout = 10 * time.Second

// Connect makes another connection, which the caller closes.
func (n *Node) Connect() (*nats.Conn, error) {
	log := n.cfg.Logger
	opts := []nats.Option{
		nats.Name("fanfare " + n.cfg.Name),
		nats.NoEcho(), // what a node says itself it does not listen to
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.ReconnectBufSize(-1), // what cannot be sent now must fail now: who sends knows how to go on
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(maxPingsOut), nats.Timeout(2 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS is lost, it is made again", "error", err)
			}
		}),
		nats.ClosedHandler(func(c *nats.Conn) {
			if err := c.LastError(); err != nil {
				log.Error("NATS has closed the connection for good", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("connected to NATS again", "server", c.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			log.Warn("NATS", "error", err, "subject", subject)
		}),
	}
	if n.server != nil {
		if n.cfg.Listen != "" {
			opts = append(opts, nats.Token(n.cfg.Secret))
		}
		return nats.Connect("", append(opts, nats.InProcessServer(n.server), nats.Timeout(inProcessTimeout))...)
	}
	opts = append(opts, nats.RetryOnFailedConnect(true)) // servers may start later than the node
	c := &n.cfg
	if c.Alone {
		opts = append(opts, nats.IgnoreDiscoveredServers())
	}
	if c.Credentials != "" {
		opts = append(opts, nats.UserCredentials(c.Credentials))
	}
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.ClientTLS != nil {
		opts = append(opts, nats.Secure(c.ClientTLS))
	}
	var urls string
	for i, u := range c.URLs {
		if i > 0 {
			urls += ","
		}
		urls += u
	}
	return nats.Connect(urls, opts...)
}

// Conn is the connection to NATS. It reconnects by itself for as long as the
// node runs.
func (n *Node) Conn() *nats.Conn { return n.conn }

// Addr is where the other nodes reach the embedded server; nil: it has none.
func (n *Node) Addr() net.Addr {
	if n.server == nil {
		return nil
	}
	return n.server.addr()
}

// Embedded reports whether the node runs a server of its own.
func (n *Node) Embedded() bool { return n.server != nil }

// Status says whether the node is where it can reach a majority of the others.
func (n *Node) Status() engine.Status {
	switch {
	case !n.conn.IsConnected():
		return engine.Status{Reason: "not connected to NATS"}
	case n.server != nil:
		return n.server.status()
	}
	return engine.Status{Ready: true}
}

// Broken says why the embedded server does its job no more, and only another start
// will change that; "": it does.
func (n *Node) Broken() string {
	if n.server == nil || n.server.stopped.Load() || n.server.JetStreamEnabled() {
		return ""
	}
	return "the cluster's server has switched its store off, perhaps for want of space on the disk"
}

// Close leaves the cluster. Where this node led another is asked to first, so
// that publishing goes on at once.
func (n *Node) Close() error {
	n.conn.Close()
	return n.server.stop()
}
