package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/certs"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/store"
)

// deployment is the engine and what belongs to it: of one node, or of several.
type deployment struct {
	engine.Engine

	counters func() counters
	taken    func(app string) int64 // bytes of history on disk
	node     *node.Node             // nil: the node is alone
	bus      *bus.Bus               // nil: the node is alone
	cluster  *cluster.Engine        // nil: the node is alone, or an edge node
	edge     *cluster.Edge          // nil: it is no edge node

	mu      sync.Mutex
	inquiry *inquiry // nil: nobody asks
}

// counters is what an engine counts for the metrics.
type counters struct {
	index.Counters
	queueFull uint64
}

// openEngine opens the engine of the settings.
func (a *App) openEngine() error {
	if !a.cfg.Cluster.On() {
		if err := refuseCluster(a.cfg.DataDir); err != nil {
			return err
		}
		e, err := local.Open(a.engineConfig())
		if err != nil {
			return err
		}
		a.engine = &deployment{Engine: e, taken: e.Taken, counters: func() counters {
			c := e.Counters()
			return counters{c.Counters, c.QueueFull}
		}}
		return nil
	}
	return a.openCluster()
}

// openCluster takes the node's place in the cluster. It does not wait for the other
// nodes: /ready tells when they are there.
func (a *App) openCluster() error {
	if err := refuseSingle(a.cfg.DataDir); err != nil {
		return err
	}
	nodeConfig, err := a.nodeConfig()
	if err != nil {
		return err
	}
	n, err := node.Start(nodeConfig)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	open := a.openCore
	if a.cfg.Cluster.Edge {
		open = a.openEdge
	}
	if a.engine, err = open(n); err != nil {
		return errors.Join(err, n.Close())
	}
	return nil
}

// openCore opens the engine of a node that keeps an index of the logs.
func (a *App) openCore(n *node.Node) (*deployment, error) {
	e, err := cluster.Open(a.clusterConfig(n))
	if err != nil {
		return nil, err
	}
	return &deployment{Engine: e, taken: e.Taken, cluster: e, bus: e.Bus(), node: n, counters: func() counters {
		c := e.Counters()
		return counters{c.Counters, c.QueueFull}
	}}, nil
}

// openEdge opens the engine of an edge node.
func (a *App) openEdge(n *node.Node) (*deployment, error) {
	e, err := cluster.OpenEdge(a.clusterConfig(n))
	if err != nil {
		return nil, err
	}
	return &deployment{Engine: e, edge: e, bus: e.Bus(), node: n, counters: func() counters {
		return counters{queueFull: e.Feed().Counters().Refused}
	}}, nil
}

// ErrSingleData says that a data directory is that of a node that was alone.
var ErrSingleData = errors.New("the data directory holds the history of a node that was alone: a node of a cluster needs one of its own, set --data-dir, and fanfare cluster import brings the history there")

// ErrClusterData says that a data directory is that of a node of a cluster.
var ErrClusterData = errors.New("the data directory is that of a node of a cluster: start it with the settings of the cluster, or name another directory with --data-dir")

// refuseSingle keeps the history of a node that was alone from being left beside
// that of a cluster, where nobody would read it.
func refuseSingle(dir string) error {
	found, err := store.Formatted(dir)
	if err != nil || !found {
		return err
	}
	return fmt.Errorf("%s: %w", dir, ErrSingleData)
}

// refuseCluster is the other way: a node that is alone would know nothing of what the
// cluster holds, and publish beside it.
func refuseCluster(dir string) error {
	for _, part := range []string{natsDir, indexDir} {
		_, err := os.Stat(filepath.Join(dir, part))
		if err == nil {
			return fmt.Errorf("%s: %w", dir, ErrClusterData)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at data directory %s: %w", dir, err)
		}
	}
	return nil
}

// Status implements engine.Engine.
func (d *deployment) Status() engine.Status {
	if d.node != nil {
		if s := d.node.Status(); !s.Ready {
			return s
		}
	}
	return d.Engine.Status()
}

// Close implements engine.Engine.
func (d *deployment) Close() error {
	err := d.Engine.Close()
	if d.node != nil {
		err = errors.Join(err, d.node.Close())
	}
	return err
}

// Places in the data directory of a node that is one of several.
const (
	natsDir  = "nats"
	indexDir = "index"
)

func (a *App) nodeConfig() (node.Config, error) {
	c := &a.cfg.Cluster
	n := node.Config{
		Name: a.nodeName(), Logger: a.log, Dir: filepath.Join(a.cfg.DataDir, natsDir), Cluster: c.Name,
		Listen: c.Listen, Peers: c.Peers, Secret: string(c.Secret), Advertise: c.Advertise,
		URLs: c.NATS, Credentials: c.NATSCredentials, User: c.NATSUser, Password: string(c.NATSPassword), Token: string(c.NATSToken),
	}
	n.ListenClients = c.ListenEdges
	if c.Edge {
		n.Peers, n.URLs, n.Token = nil, nil, string(c.Secret)
		scheme := "nats://"
		if c.CertFile != "" {
			scheme = "tls://"
		}
		for _, peer := range c.Peers {
			n.URLs = append(n.URLs, scheme+peer)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return n, fmt.Errorf("cluster.cert_file: %w", err)
		}
		pool, err := certs.Authorities(c.CAFile)
		if err != nil {
			return n, fmt.Errorf("cluster.ca_file: %w", err)
		}
		// Both sides of a route show the certificate and verify the other's.
		n.TLS = &tls.Config{
			Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		}
	}
	authorities, err := trusting(c.NATSCAFile)
	if err != nil {
		return n, fmt.Errorf("cluster.nats_ca_file: %w", err)
	}
	n.ClientTLS = authorities
	if c.Edge {
		n.ClientTLS = n.TLS
	}
	return n, nil
}

// nodeName is what other nodes and people call this one.
func (a *App) nodeName() string {
	if name := a.cfg.Cluster.Node; name != "" {
		return name
	}
	keep := func(r rune) rune {
		if strings.ContainsRune("-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", r) {
			return r
		}
		return '-'
	}
	return strings.Map(keep, hostName())
}

// externalReplicas are as many copies as an existing NATS keeps of a log, unless the
// settings say otherwise.
const externalReplicas = 3

func (a *App) clusterConfig(n *node.Node) cluster.Config {
	c := &a.cfg.Cluster
	replicas := c.Replicas
	switch {
	case replicas > 0:
	case n.Embedded():
		replicas = len(c.Peers) + 1 // an edge node makes no log
	default:
		replicas = externalReplicas
	}
	return cluster.Config{
		Conn: n.Conn(), Node: a.uid, Label: a.nodeName(), Name: a.clusterName(),
		Dir: filepath.Join(a.cfg.DataDir, indexDir), Logger: a.log, OnFatal: a.fatal, OnCommit: a.committed, OnDead: a.nodeDied,
		Feeds: c.ListenEdges != "", Logs: c.Logs, Replicas: replicas, LogBytes: int64(c.LogSize), LogAge: c.LogAge, PublishWait: a.cfg.PublishWait,
		CacheBytes:   int64(a.cfg.Store.CacheSize),
		MemoryBytes:  int64(a.cfg.Store.MemorySize),
		ReserveBytes: int64(a.cfg.Store.ReserveSize),
	}
}

// watchNode ends the process when the server in it has broken down: another start
// mends what waiting does not. It returns when ctx ends.
func (a *App) watchNode(ctx context.Context) {
	n := a.engine.node
	if n == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if reason := n.Broken(); reason != "" && !a.hub.Draining() {
				a.fatal(reason)
			}
		case <-ctx.Done():
			return
		}
	}
}

// statusWait is how long /ready waits for the engine to say how it is.
const statusWait = time.Second

// inquiry is one question for the status, which all who ask meanwhile share.
type inquiry struct {
	done   chan struct{}
	status engine.Status
}

// promptStatus is Status, or that it is not told in time, whatever hangs.
func (d *deployment) promptStatus() engine.Status {
	d.mu.Lock()
	q := d.inquiry
	if q == nil {
		q = &inquiry{done: make(chan struct{})}
		d.inquiry = q
		go func() {
			q.status = d.Status()
			d.mu.Lock()
			d.inquiry = nil
			d.mu.Unlock()
			close(q.done)
		}()
	}
	d.mu.Unlock()
	late := time.NewTimer(statusWait)
	defer late.Stop()
	select {
	case <-q.done:
		return q.status
	case <-late.C:
		return engine.Status{Reason: "the node does not say within " + statusWait.String() + " how it is"}
	}
}

// nodeDied is told of another node that is not heard of any more.
func (a *App) nodeDied(n bus.NodeInfo) {
	a.log.Warn("another node of the cluster is not heard of any more", "node", n.Name, "heard", n.Heard)
}
