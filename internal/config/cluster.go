package config

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"time"
)

// Cluster are the settings of a node that is one of several; see
// [cluster.md](cluster.md). Without a name or NATS the node is alone.
type Cluster struct {
	Name        string   `koanf:"name"`         // names the cluster, the same on every node; empty: this node is alone
	Node        string   `koanf:"node"`         // names this node, unlike every other; letters, digits, - and _; empty: the host's name
	Listen      string   `koanf:"listen"`       // address and port for the other core nodes; empty: a cluster of one
	Advertise   string   `koanf:"advertise"`    // address and port that the others reach this node at; empty: `cluster.listen`
	Peers       []string `koanf:"peers"`        // address and port of each other core node: 2 or 4, as a cluster has 3 or 5; this node's own (`cluster.advertise`, or else `cluster.listen`) is passed over, so that all can have the same list; of an edge node, `cluster.listen_edges` of core nodes
	Edge        bool     `koanf:"edge"`         // this node holds connections only, and asks core nodes for what is kept: it comes and goes freely
	ListenEdges string   `koanf:"listen_edges"` // address and port for edge nodes, on a core node; empty: there can be none
	Secret      Secret   `koanf:"secret"`       // core nodes know each other by it: 16 bytes at least
	CertFile    string   `koanf:"cert_file"`    // certificate, PEM, that core nodes show each other; without it what goes between them is not encrypted
	KeyFile     string   `koanf:"key_file"`     // its private key, PEM
	CAFile      string   `koanf:"ca_file"`      // the authorities, PEM, of the others' certificates

	NATS            []string `koanf:"nats"`             // URLs of an existing NATS cluster with JetStream (`nats://`, `tls://`), in place of the server that is built in
	NATSCredentials string   `koanf:"nats_credentials"` // a file with the credentials of a NATS user
	NATSUser        string   `koanf:"nats_user"`        // a NATS user, in place of credentials
	NATSPassword    Secret   `koanf:"nats_password"`    // the user's password
	NATSToken       Secret   `koanf:"nats_token"`       // a token, in place of a user
	NATSCAFile      string   `koanf:"nats_ca_file"`     // authorities, PEM, of the servers' certificates; empty: the system's

	Logs     int           `koanf:"logs" allow:"1..64"`           // logs that channels are divided over; fixed once the cluster has been made, the same on every node
	Replicas int           `koanf:"replicas" allow:"0..5"`        // copies of each log: 1, 3 or 5; 0: as many as there are core nodes, and 3 on an existing NATS
	LogSize  Size          `koanf:"log_size" allow:"16MiB..1TiB"` // what one log keeps for nodes that are away; one that was away for longer copies from another node
	LogAge   time.Duration `koanf:"log_age" allow:"1m..8760h"`    // how long one log keeps it
}

// On reports whether the node is one of several.
func (c *Cluster) On() bool { return c.Name != "" || len(c.NATS) > 0 }

// forgetSelf takes this node out of its peers.
func (c *Cluster) forgetSelf() {
	self := cmp.Or(c.Advertise, c.Listen)
	c.Peers = slices.DeleteFunc(slices.Clone(c.Peers), func(peer string) bool { return peer == self })
}

// DefaultCluster names a cluster on an existing NATS that has no name.
const DefaultCluster = "fanfare"

// minClusterSecret is enough for a secret that is drawn.
const minClusterSecret = 16

// checkCluster checks what makes a node one of several.
func (c *Config) checkCluster(add func(ok bool, format string, args ...any)) {
	k := &c.Cluster
	embedded := len(k.NATS) == 0
	if !k.On() {
		add(k.Listen == "" && len(k.Peers) == 0, "cluster.name: is needed by the other settings of cluster")
		return
	}
	add(len(k.Name) <= 64 && isPathSegment(k.Name), "cluster.name: %q must be letters, digits, - and _, at most 64", k.Name)
	add(len(k.Node) <= 64 && isPathSegment(k.Node), "cluster.node: %q must be letters, digits, - and _, at most 64", k.Node)
	add(k.Replicas == 0 || k.Replicas%2 == 1, "cluster.replicas: %d is none of 1, 3 and 5", k.Replicas)
	if !embedded {
		for _, u := range k.NATS {
			add(strings.HasPrefix(u, "nats://") || strings.HasPrefix(u, "tls://"), "cluster.nats: %q must begin with nats:// or tls://", u)
		}
		add(!k.Edge, "cluster.edge: on an existing NATS every node comes and goes freely")
		add(k.Listen == "" && len(k.Peers) == 0, "cluster: of nats and listen or peers only one can be set: on an existing NATS no server is built in")
		return
	}
	add((k.CertFile == "") == (k.KeyFile == ""), "cluster: cert_file and key_file are needed both")
	add(k.CertFile == "" || k.CAFile != "", "cluster.ca_file: is needed with cluster.cert_file, by which the others are known")
	if k.Edge {
		add(k.Listen == "" && k.ListenEdges == "", "cluster: an edge node is not listened on by others: leave listen and listen_edges empty")
		add(len(k.Peers) > 0, "cluster.peers: an edge node needs the addresses for edge nodes (cluster.listen_edges) of core nodes")
		k.checkAddresses(k.Peers, add)
		k.checkSecret(add)
		return
	}
	if k.Listen == "" {
		add(k.ListenEdges == "", "cluster.listen_edges: only core nodes that have others have edge nodes, set cluster.listen")
		add(len(k.Peers) == 0, "cluster.listen: the other core nodes have to reach this one, set an address and port")
		return
	}
	k.checkAddresses(append([]string{k.Listen}, k.Peers...), add)
	if k.Advertise != "" {
		k.checkAddresses([]string{k.Advertise}, add)
	}
	if k.ListenEdges != "" {
		k.checkAddresses([]string{k.ListenEdges}, add)
	}
	add(len(k.Peers) == 2 || len(k.Peers) == 4, "cluster.peers: names %d other core nodes; a cluster has 3 or 5, so it must name 2 or 4", len(k.Peers))
	add(k.Node != "", "cluster.node: must be set, the same whenever this node is started: it is how the others know which log is on its disk")
	k.checkSecret(add)
}

func (c *Cluster) checkAddresses(list []string, add func(ok bool, format string, args ...any)) {
	for _, a := range list {
		_, port, err := net.SplitHostPort(a)
		add(err == nil && isPort(port), "cluster: %q is no address, it must be host:port, such as 10.0.0.1:8020", a)
	}
}

func (c *Cluster) checkSecret(add func(ok bool, format string, args ...any)) {
	add(len(c.Secret) >= minClusterSecret, "cluster.secret: must be set, the same on every node, %d bytes at least: make one with openssl rand -hex 32, and put it into FANFARE_CLUSTER_SECRET", minClusterSecret)
}
