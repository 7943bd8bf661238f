package doctor

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/fanfare-push/fanfare/internal/config"
)

// plainCluster looks for nodes that talk without TLS where others can listen.
func plainCluster(c *config.Config, add report) {
	k := &c.Cluster
	if k.CertFile != "" {
		return
	}
	const why = "without TLS between nodes, every message that is published can be read and changed on the way"
	const do = "set cluster.cert_file, cluster.key_file and cluster.ca_file, or listen inside your network"
	for _, at := range []struct{ setting, listen string }{{"cluster.listen", k.Listen}, {"cluster.listen_edges", k.ListenEdges}} {
		switch reachOf(at.listen) {
		case fromInternet:
			add(Error, at.setting, why+", and this is an address of the internet", do)
		case fromAnywhere:
			add(Warning, at.setting, why+", from wherever this address is reached", do)
		case fromHere, fromNetwork:
		}
	}
}

// oneCopy looks for logs that only one disk holds.
func oneCopy(c *config.Config, add report) {
	k := &c.Cluster
	if !k.Edge && k.Replicas == 1 && (len(k.Peers) > 0 || len(k.NATS) > 0) {
		add(Warning, "cluster.replicas", "is 1: each log is on one disk, and what it holds cannot be published to or is lost when that server is", "leave it at 0")
	}
}

// sharedMachine looks for core nodes that fail together.
func sharedMachine(c *config.Config, add report) {
	k := &c.Cluster
	if len(k.Peers) == 0 || k.Edge {
		return
	}
	seen := map[string]bool{}
	for _, addr := range append([]string{k.Listen}, k.Peers...) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || host == "" {
			continue
		}
		if isLoopback(host) {
			host = "localhost"
		}
		if seen[host] {
			add(Warning, "cluster.peers", fmt.Sprintf("%d core nodes, and more than one on %q: a majority may go with that machine", len(k.Peers)+1, host), "run each core node on a machine of its own")
			return
		}
		seen[host] = true
	}
}

// natsOfOthers says what an existing NATS leaves to its operator.
func natsOfOthers(c *config.Config, add report) {
	k := &c.Cluster
	if len(k.NATS) == 0 {
		return
	}
	add(Note, "cluster.nats", "an acknowledged publication is as safe as that NATS makes it: by default its servers sync to disk every two minutes, and a power cut of a majority loses what was not",
		"have its operator set sync_interval: always in its jetstream block, or accept it (docs/cluster.md)")
	for _, target := range k.NATS {
		u, err := url.Parse(target)
		if err == nil && u.Scheme == "nats" && k.NATSCAFile == "" && !isLoopback(u.Hostname()) && reachOf(net.JoinHostPort(u.Hostname(), "1")) == fromInternet {
			add(Warning, "cluster.nats", fmt.Sprintf("%q is an address of the internet, and nats:// is encrypted only if that server asks for it", strings.TrimSuffix(u.Host, "/")), "write tls://")
		}
	}
}
