package engine

// Overview is what a node knows of the cluster that it is one of, for people. Its
// JSON is that of the server API, and what nodes tell each other.
type Overview struct {
	Cluster string         `json:"cluster"`
	Nodes   []NodeOverview `json:"nodes"` // by name
}

// NodeOverview is how one node is.
type NodeOverview struct {
	ID      string        `json:"uid"`  // of the process; "": it is not there
	Name    string        `json:"name"` // stays the same
	Self    bool          `json:"self,omitempty"`
	Role    string        `json:"role,omitempty"` // RoleCore, RoleEdge or RoleMember; "": it has not answered
	Version string        `json:"version,omitempty"`
	Host    string        `json:"host,omitempty"`
	Addr    string        `json:"address,omitempty"`      // where it listens for clients
	Peers   string        `json:"peer_address,omitempty"` // where other nodes reach it; "": nowhere
	Uptime  int64         `json:"uptime,omitempty"`       // seconds
	Clients int           `json:"num_clients"`
	Ready   bool          `json:"ready"`
	Reason  string        `json:"reason,omitempty"` // why it is not
	Silent  bool          `json:"silent,omitempty"` // it is alive, and has not answered in time: all but uid and name is unknown
	Logs    []LogOverview `json:"logs,omitempty"`
}

// The roles of a node.
const (
	RoleCore   = "core"   // a server of the cluster runs in it, and keeps copies of logs
	RoleEdge   = "edge"   // it is connected to core nodes, and none that a publication waits for
	RoleMember = "member" // it is connected to servers elsewhere
)

// LogOverview is how one log stands on one node.
type LogOverview struct {
	Name    string `json:"name"`
	Leader  string `json:"leader,omitempty"` // name of the server that leads it; "": not known, or there is one copy only
	Last    uint64 `json:"last"`             // number of the last message that it holds, when its leader was last asked
	Applied uint64 `json:"applied"`          // number of the last message that the node has applied
	Reason  string `json:"reason,omitempty"` // why the node is not ready for it
	Error   string `json:"last_error,omitempty"`
	ErrorAt int64  `json:"last_error_time,omitempty"` // Unix milliseconds
}

// Lag is how many messages the node has yet to apply.
func (l *LogOverview) Lag() uint64 { return l.Last - min(l.Applied, l.Last) }
