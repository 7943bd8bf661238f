package metrics

// Nodes are the metrics of what nodes of a cluster say to each other besides the
// log. On a single node all are 0.
type Nodes struct {
	Draining      *Gauge // 1: clients are released to other nodes
	NodesAlive    *Gauge // this one included
	NodeSent      *Counter
	NodeReceived  *Counter
	NodeLost      Counters[NodeLoss]
	NodeSyncs     *Counter
	NodeDeaths    *Counter
	NodeUnreached *Counter
	NodeStreams   *Gauge
	NodeQueue     *Gauge // bytes
	NodeInbound   *Gauge // messages
	NodeRelays    *Gauge // responses

	NodeRelaysBroken *Counter

	// Of an edge node.
	FeedItems   *Counter
	FeedGaps    *Counter
	FeedFetched *Counter
	FeedChanges *Counter
	FeedResent  *Counter
	FeedCalls   *Gauge
}

// NodeLoss says where a message between nodes was lost.
type NodeLoss string

// The losses.
const (
	NodeMissed    NodeLoss = "missed"    // it never came, as the number of the next says
	NodeLate      NodeLoss = "late"      // it came behind the next, and was counted as missed
	NodeDropped   NodeLoss = "dropped"   // NATS dropped it here: too many wait to be looked at
	NodeUnsent    NodeLoss = "unsent"    // NATS did not take it
	NodeUnshared  NodeLoss = "unshared"  // a join, leave or count for which there was no room, or the info of a session that is too large
	NodeMalformed NodeLoss = "malformed" // it could not be read
	NodeStranger  NodeLoss = "stranger"  // it is of a node beyond those that one knows
)

func allNodeLosses() []NodeLoss {
	return []NodeLoss{NodeMissed, NodeLate, NodeDropped, NodeUnsent, NodeUnshared, NodeMalformed, NodeStranger}
}

func (m *Metrics) newNodes(f *families) {
	m.Draining = f.gauge("draining", "1 while the node releases its clients to others, or has.")
	m.NodesAlive = f.gauge("nodes", "Nodes that are alive, this one included; 0: it is alone by its settings.")
	m.NodeSent = f.counter("node_messages_sent_total", "Messages to other nodes besides the log.")
	m.NodeReceived = f.counter("node_messages_received_total", "Messages from other nodes besides the log.")
	m.NodeLost = byReason(f, "node_messages_lost_total",
		"Messages between nodes besides the log that were lost, by where that was noticed; presence is put right, publications without history are gone.",
		"reason", allNodeLosses())
	m.NodeSyncs = f.counter("node_states_taken_total", "Parts of the presence of other nodes that were taken as a whole: at first, and after a loss.")
	m.NodeDeaths = f.counter("node_deaths_total", "Nodes that were not heard of for too long; their sessions have left.")
	m.NodeUnreached = f.counter("node_follows_unreached_total", "Subscriptions that did not wait for a node which did not answer.")
	m.NodeStreams = f.gauge("node_streams", "Streams of other nodes, of 256, that are listened to.")
	m.NodeQueue = f.gauge("node_queue_bytes", "Bytes that wait to be sent to other nodes.")
	m.NodeInbound = f.gauge("node_inbound_messages", "Messages of other nodes that wait to be looked at.")
	m.NodeRelays = f.gauge("node_relayed_responses", "Responses to XHR requests here whose sessions are at other nodes.")
	m.NodeRelaysBroken = f.counter("node_relays_broken_total", "Such responses that were broken off, since the other node or a message of it was missing; counted at both nodes.")
	m.FeedItems = f.counter("feed_publications_total", "Publications with history that an edge node was fed with.")
	m.FeedGaps = f.counter("feed_gaps_total", "Times that something of the feed was missed; it was then looked up.")
	m.FeedFetched = f.counter("feed_looked_up_total", "Publications that an edge node has looked up, since they were missed in the feed.")
	m.FeedChanges = f.counter("feed_changes_total", "Times that an edge node has found itself another core node to be fed by, the first included.")
	m.FeedResent = f.counter("feed_calls_resent_total", "Calls of an edge node that a core node did not answer within a second, and that were sent again.")
	m.FeedCalls = f.gauge("feed_calls", "Calls of an edge node that are not answered yet.")
}
