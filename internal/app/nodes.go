package app

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/feed"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/survey"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// operated is the node as an operator asks it.
type operated struct{ *App }

var _ api.Node = operated{}

// Overview implements api.Node.
func (o operated) Overview(ctx context.Context) (engine.Overview, error) { return o.overview(ctx) }

// Drain implements api.Node.
func (o operated) Drain(rate int) api.Drained { return o.beginDrain(rate) }

// troubles are the last reasons for which a node was not ready for a log.
type troubles struct {
	mu   sync.Mutex
	last map[string]trouble // by the name of each log that was ready once
}

type trouble struct {
	reason string
	at     int64 // Unix milliseconds
}

// watchEvery is how often the logs are looked at for troubles.
const watchEvery = time.Second

// watchLogs remembers what is wrong with logs until ctx ends.
func (a *App) watchLogs(ctx context.Context) {
	if a.engine.cluster == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.troubles.note(a.engine.cluster.Logs())
		}
	}
}

// note remembers what is wrong with logs that have been right: what a node that has
// not joined yet waits for is no trouble.
func (t *troubles) note(logs []engine.LogOverview) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range logs {
		l := &logs[i]
		last, known := t.last[l.Name]
		switch {
		case known && l.Reason != "":
			t.last[l.Name] = trouble{l.Reason, time.Now().UnixMilli()}
		case !known && l.Reason == "":
			if t.last == nil {
				t.last = make(map[string]trouble)
			}
			t.last[l.Name] = last
		}
	}
}

// add puts the last troubles with the logs.
func (t *troubles) add(logs []engine.LogOverview) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range logs {
		if last := t.last[logs[i].Name]; last.reason != "" {
			logs[i].Error, logs[i].ErrorAt = last.reason, last.at
		}
	}
}

// self is how this node is.
func (a *App) self() engine.NodeOverview {
	info := a.hub.Info()
	n := engine.NodeOverview{
		ID: a.uid, Name: a.nodeName(), Version: info.Version, Host: hostName(), Addr: a.Addr(),
		Uptime: int64(info.Uptime / time.Second), Clients: info.Clients, Role: engine.RoleMember,
	}
	n.Reason = a.unready()
	n.Ready = n.Reason == ""
	d := a.engine
	switch {
	case d.node == nil || d.node.Embedded():
		n.Role = engine.RoleCore
	case a.cfg.Cluster.Edge:
		n.Role = engine.RoleEdge
	}
	if d.node != nil {
		if addr := d.node.Addr(); addr != nil {
			n.Peers = cmp.Or(a.cfg.Cluster.Advertise, addr.String())
		}
	}
	if d.cluster != nil {
		n.Logs = d.cluster.Logs()
		a.troubles.add(n.Logs)
	}
	return n
}

// openSurvey answers what other nodes ask.
func (a *App) openSurvey() (err error) {
	d := a.engine
	if d.node == nil {
		return nil
	}
	a.survey, err = survey.New(survey.Config{
		Conn: d.node.Conn(), Prefix: a.clusterName(), Logger: a.log,
		Answer: func() []byte {
			self := a.self()
			text, err := json.Marshal(&self)
			if err != nil { // no field can fail
				a.log.Error("encode an overview", "error", err)
			}
			return text
		},
	})
	return err
}

func (a *App) closeSurvey() {
	if a.survey == nil {
		return
	}
	if err := a.survey.Close(); err != nil {
		a.log.Debug("the survey was not closed", "error", err)
	}
}

func (a *App) clusterName() string { return cmp.Or(a.cfg.Cluster.Name, config.DefaultCluster) }

// overview is how all nodes are: each is asked, and those that do not answer are
// there by name.
func (a *App) overview(ctx context.Context) (engine.Overview, error) {
	self := a.self()
	self.Self = true
	o := engine.Overview{Nodes: []engine.NodeOverview{self}}
	if a.survey == nil {
		return o, nil
	}
	o.Cluster = a.clusterName()
	known := a.engine.bus.Nodes()
	answers, err := a.survey.Ask(ctx, len(known)-1)
	if err != nil {
		return o, err
	}
	o.Nodes = merge(o.Nodes, known, answers)
	if a.engine.node.Embedded() { // servers are called like their nodes
		o.Nodes = addAbsent(o.Nodes, a.engine.cluster.Absent())
	}
	return o, nil
}

// merge adds to the nodes those that have answered, and those that have not but
// are known.
func merge(nodes []engine.NodeOverview, known []bus.NodeInfo, answers [][]byte) []engine.NodeOverview {
	is := func(id string) bool {
		return slices.ContainsFunc(nodes, func(n engine.NodeOverview) bool { return n.ID == id })
	}
	for _, text := range answers {
		var n engine.NodeOverview
		if err := json.Unmarshal(text, &n); err == nil && n.ID != "" && !is(n.ID) {
			n.Self = false
			nodes = append(nodes, n)
		}
	}
	for _, k := range known {
		if !is(k.ID) {
			nodes = append(nodes, engine.NodeOverview{ID: k.ID, Name: k.Name, Silent: true})
		}
	}
	sortNodes(nodes)
	return nodes
}

// addAbsent adds the core nodes that are not there.
func addAbsent(nodes []engine.NodeOverview, names []string) []engine.NodeOverview {
	for _, name := range names {
		if !slices.ContainsFunc(nodes, func(n engine.NodeOverview) bool { return n.Name == name }) {
			nodes = append(nodes, engine.NodeOverview{Name: name, Role: engine.RoleCore, Reason: "it is not there"})
		}
	}
	sortNodes(nodes)
	return nodes
}

func sortNodes(nodes []engine.NodeOverview) {
	slices.SortFunc(nodes, func(a, b engine.NodeOverview) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

// bindCluster shows what nodes say to each other, and how the logs are.
func (a *App) bindCluster() {
	m := a.metrics
	m.Draining.Bind(func() int64 {
		if a.hub.Leaving() {
			return 1
		}
		return 0
	})
	b := a.engine.bus
	if b == nil {
		return
	}
	m.NodesAlive.Bind(func() int64 { return int64(b.Counters().Others) + 1 })
	m.NodeStreams.Bind(func() int64 { return int64(b.Counters().Streams) })
	m.NodeQueue.Bind(func() int64 { return int64(b.Counters().QueueBytes) })
	m.NodeInbound.Bind(func() int64 { return int64(b.Counters().Inbound) })
	bind := func(c *metrics.Counter, of func(*bus.Counters) uint64) {
		c.Bind(func() uint64 { now := b.Counters(); return of(&now) })
	}
	bind(m.NodeSent, func(c *bus.Counters) uint64 { return c.Sent })
	bind(m.NodeReceived, func(c *bus.Counters) uint64 { return c.Received })
	bind(m.NodeSyncs, func(c *bus.Counters) uint64 { return c.Synced })
	bind(m.NodeDeaths, func(c *bus.Counters) uint64 { return c.Deaths })
	bind(m.NodeUnreached, func(c *bus.Counters) uint64 { return c.Unreached })
	bind(m.Drops.Of(metrics.DropNodeQueueFull), func(c *bus.Counters) uint64 { return c.QueueFull })
	for loss, of := range map[metrics.NodeLoss]func(*bus.Counters) uint64{
		metrics.NodeMissed:    func(c *bus.Counters) uint64 { return c.Missed },
		metrics.NodeLate:      func(c *bus.Counters) uint64 { return c.Late },
		metrics.NodeDropped:   func(c *bus.Counters) uint64 { return c.Dropped },
		metrics.NodeUnsent:    func(c *bus.Counters) uint64 { return c.Unsent },
		metrics.NodeUnshared:  func(c *bus.Counters) uint64 { return c.Unshared },
		metrics.NodeMalformed: func(c *bus.Counters) uint64 { return c.Malformed },
		metrics.NodeStranger:  func(c *bus.Counters) uint64 { return c.Strangers },
	} {
		bind(m.NodeLost.Of(loss), of)
	}
	a.bindFeed()
	e := a.engine.cluster
	if e == nil {
		return
	}
	name := a.nodeName()
	m.Logs.Bind(func() []metrics.LogRow {
		logs := e.Logs()
		rows := make([]metrics.LogRow, len(logs))
		for i := range logs {
			l := &logs[i]
			rows[i] = metrics.LogRow{Log: l.Name, Lag: l.Lag(), Applied: l.Applied, Leads: l.Leader == name, Ready: l.Reason == ""}
		}
		return rows
	})
}

// bindFeed shows how an edge node is fed.
func (a *App) bindFeed() {
	if a.engine.edge == nil {
		return
	}
	m, f := a.metrics, a.engine.edge.Feed()
	bind := func(c *metrics.Counter, of func(*feed.Counters) uint64) {
		c.Bind(func() uint64 { now := f.Counters(); return of(&now) })
	}
	bind(m.FeedItems, func(c *feed.Counters) uint64 { return c.Items })
	bind(m.FeedGaps, func(c *feed.Counters) uint64 { return c.Gaps })
	bind(m.FeedFetched, func(c *feed.Counters) uint64 { return c.Fetched })
	bind(m.FeedChanges, func(c *feed.Counters) uint64 { return c.Changes })
	bind(m.FeedResent, func(c *feed.Counters) uint64 { return c.Resent })
	m.FeedCalls.Bind(func() int64 { return int64(f.Counters().Calls) })
}

// unready says why the node cannot do its job now; "": it can.
func (a *App) unready() string {
	if s := a.engine.promptStatus(); !s.Ready {
		return s.Reason
	}
	switch {
	case !a.apps.Loaded():
		return "the log of apps is not read yet"
	case a.hub.Draining():
		return "stopping"
	case a.hub.Leaving():
		return "draining"
	}
	return ""
}
