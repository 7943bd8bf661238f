package client

import (
	"context"
	"time"
)

// Cluster is how the nodes of a cluster are.
type Cluster struct {
	Name  string        `json:"cluster"` // "": the node that was asked is alone
	Nodes []ClusterNode `json:"nodes"`   // by name
}

// ClusterNode is how one node is.
type ClusterNode struct {
	UID           string       `json:"uid"`
	Name          string       `json:"name"`
	Self          bool         `json:"self"` // it is the one that was asked
	Role          string       `json:"role"` // core, edge, or member: its NATS servers are elsewhere
	Version       string       `json:"version"`
	Host          string       `json:"host"`
	Address       string       `json:"address"`      // for clients
	PeerAddress   string       `json:"peer_address"` // for other nodes
	UptimeSeconds int64        `json:"uptime"`
	Clients       int          `json:"num_clients"`
	Ready         bool         `json:"ready"`
	Reason        string       `json:"reason"` // why it is not
	Silent        bool         `json:"silent"` // it has not answered: all but UID and Name is unknown
	Logs          []ClusterLog `json:"logs"`
}

// ClusterLog is how one log stands on one node.
type ClusterLog struct {
	Name        string `json:"name"`
	Leader      string `json:"leader"` // "": not known
	Last        uint64 `json:"last"`   // number of the last message in it
	Applied     uint64 `json:"applied"`
	Reason      string `json:"reason"` // why the node is not ready for it
	LastError   string `json:"last_error"`
	LastErrorMS int64  `json:"last_error_time"` // Unix milliseconds
}

// Uptime is how long the node has been running.
func (n *ClusterNode) Uptime() time.Duration { return time.Duration(n.UptimeSeconds) * time.Second }

// Lag is how many messages the node has yet to apply.
func (l *ClusterLog) Lag() uint64 { return l.Last - min(l.Applied, l.Last) }

// Cluster asks how all nodes are; it takes the operator's key.
func (a *API) Cluster(ctx context.Context) (Cluster, error) {
	var c Cluster
	err := a.call(ctx, "cluster", struct{}{}, &c)
	return c, err
}

// Drained says how far a drain is.
type Drained struct {
	Clients int `json:"num_clients"` // connections that are left
	Rate    int `json:"rate"`        // clients that are released in a second
}

// Drain has the node release its clients to others, at most rate in a second (0: as
// its settings say). Once it has begun, another call says how far it is. It takes
// the operator's key.
func (a *API) Drain(ctx context.Context, rate int) (Drained, error) {
	var d Drained
	err := a.call(ctx, "drain", struct {
		Rate int `json:"rate,omitempty"`
	}{rate}, &d)
	return d, err
}
