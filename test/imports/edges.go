package imports

// edge forbids every package that matches from to import what matches a pattern
// of to. Patterns are relative to the module: "x" is one package, "x/*" what is
// below it, "x/..." both. A pattern without a package of the module stands for a
// package of the standard library.
type edge struct {
	from   string
	to     []string
	why    string
	except []string // packages that from matches and the rule does not mean
}

// outer are the packages that only app puts together.
var outer = []string{"internal/api/...", "internal/admin", "internal/transport/...", "internal/protocol/...", "internal/webhook", "internal/hook"}

// edges are the forbidden imports; ARCHITECTURE.md says what is allowed.
var edges = []edge{
	{from: "internal/...", to: []string{"internal/app"}, why: "app is the composition root: it knows every part, no part knows it"},
	{from: "client/...", to: []string{"internal/..."}, why: "users import the client; it must not drag the server in"},
	{from: "js", to: []string{"internal/...", "client/..."}, why: "it embeds the browser's client and is nothing else"},
	{from: "bench/transports", to: []string{"internal/..."}, why: "it measures any server, as a client sees it"},
	{from: "internal/...", except: []string{"internal/app", "internal/doctor"}, to: []string{"internal/config"}, why: "a package defines its own Config, app fills it from the settings; the doctor judges the settings themselves"},
	{from: "internal/doctor", to: append([]string{"internal/hub", "internal/engine/...", "internal/store", "net/http"}, outer...), why: "the doctor judges settings, not what is made of them"},
	{from: "internal/audit", to: append([]string{"internal/hub", "internal/engine/...", "internal/store", "internal/metrics", "net/http"}, outer...), why: "the audit log writes down what it is told"},

	{from: "internal/transport/...", to: []string{"internal/protocol/..."}, why: "a transport moves bytes; a protocol that it knows could not be carried by another"},
	{from: "internal/protocol/...", to: []string{"internal/transport/..."}, why: "a protocol gives bytes meaning, whatever carried them"},
	{from: "internal/protocol/centrifuge", to: []string{"internal/protocol/pusher", "internal/protocol/plain"}, why: "protocols meet in the hub, never each other"},
	{from: "internal/protocol/pusher", to: []string{"internal/protocol/centrifuge", "internal/protocol/plain"}, why: "protocols meet in the hub, never each other"},
	{from: "internal/protocol/plain", to: []string{"internal/protocol/centrifuge", "internal/protocol/pusher"}, why: "protocols meet in the hub, never each other"},
	{from: "internal/protocol/...", to: []string{"net/http", "internal/store", "internal/engine/*"}, why: "a protocol asks the hub; how bytes come and where they are kept is not its business"},

	{from: "internal/...", to: []string{"internal/hub/hubtest"}, why: "a hub without an engine is for tests"},
	{from: "internal/hub", to: outer, why: "the hub is what the outside builds on; it is told who is there through its seams"},
	{from: "internal/hub", to: []string{"net/http"}, why: "the hub serves every transport; HTTP is one of them"},
	{from: "internal/hub", to: []string{"internal/store", "internal/engine/*"}, why: "the hub speaks to the engine's contract, not to one engine"},
	{from: "internal/hub", to: []string{"internal/auth"}, why: "the hub takes an Authenticator; that tokens exist is auth's knowledge"},

	{from: "internal/engine/...", to: outer, why: "an engine orders and stores; who is connected is the hub's knowledge"},
	{from: "internal/engine/...", to: []string{"internal/hub", "internal/auth", "net/http"}, why: "an engine orders and stores; who is connected is the hub's knowledge"},
	{from: "internal/engine/cluster/survey", to: []string{"internal/...", "net", "os"}, why: "it carries a question and answers; what they say is for those who ask"},
	{from: "internal/engine/cluster/bus", to: []string{"internal/engine/cluster", "internal/engine/local", "internal/metrics", "net"}, why: "the bus is what nodes say to each other; who is a node, and what is stored, is not its business"},
	{from: "internal/engine/cluster/feed", to: []string{"internal/engine/cluster", "internal/engine/cluster/copies", "internal/engine/cluster/journal", "internal/engine/cluster/node", "internal/engine/local", "internal/engine/index", "internal/metrics", "net"}, why: "the feed is what edge and core nodes say to each other; how a core node orders and keeps is behind its interface"},
	{from: "internal/engine/cluster/node", to: []string{"internal/engine/cluster", "internal/engine/cluster/*", "internal/engine/local", "internal/engine/index"}, why: "a node is the way to NATS, whatever goes over it"},
	{from: "internal/engine/cluster/journal", to: []string{"internal/engine/cluster", "internal/engine/cluster/*", "internal/engine/local", "internal/engine/index"}, why: "the log orders entries; what they do is apply's knowledge"},
	{from: "internal/engine/cluster/copies", to: []string{"internal/engine/cluster", "internal/engine/cluster/*", "internal/engine/local", "internal/engine/index"}, why: "a copy is bytes of a store, from one node to another"},
	{from: "internal/engine/index", to: []string{"internal/engine/local", "internal/engine/cluster/...", "internal/metrics", "net"}, why: "an index applies a log, wherever that comes from"},
	{from: "internal/engine/keys", to: []string{"internal/engine/local", "internal/engine/cluster/...", "internal/store", "net"}, why: "it remembers keys, and knows nobody who asks"},
	{from: "internal/engine/local", to: []string{"internal/engine/cluster/...", "net"}, why: "one node has no network"},
	{from: "internal/engine", to: []string{"internal/engine/*", "internal/store"}, why: "the contract must not know those who fulfil it"},
	{from: "internal/store", to: append([]string{"internal/hub", "internal/engine/*", "internal/auth", "net/http"}, outer...), why: "the store keeps what it is given; it has no users, no network and no delivery"},

	{from: "internal/api", to: []string{"internal/transport/...", "internal/protocol/...", "internal/admin", "internal/store", "internal/engine/*"}, why: "the API asks the hub, as a protocol does"},
	{from: "internal/api/pusherapi", to: []string{"internal/transport/...", "internal/protocol/centrifuge", "internal/protocol/plain", "internal/admin", "internal/api", "internal/store", "internal/engine/*"}, why: "the API asks the hub; of the protocols it knows its own, whose names and signatures it shares"},
	{from: "internal/webhook", to: []string{"internal/transport/...", "internal/protocol/...", "internal/api/...", "internal/admin", "internal/store", "internal/engine/*"}, why: "webhooks tell what they are told; their queue is the engine's contract"},
	{from: "internal/hook", to: []string{"internal/transport/...", "internal/protocol/...", "internal/api/...", "internal/admin", "internal/webhook", "internal/store", "internal/engine/*"}, why: "a hook answers the hub; who asked, and through what, is the hub's knowledge"},
	{from: "internal/admin", to: []string{"internal/transport/...", "internal/protocol/...", "internal/store", "internal/engine/*"}, why: "the page shows what the hub tells it"},

	{from: "internal/tenant", to: append([]string{"internal/hub", "internal/auth", "internal/metrics", "internal/store", "internal/engine/*", "net/http"}, outer...), why: "the registry knows Apps and keys; what they mean for sessions and tokens app puts together"},
	{from: "internal/auth", to: append([]string{"internal/hub", "internal/engine/...", "internal/store", "internal/metrics", "net/http"}, outer...), why: "auth turns a token into an Identity and knows nothing else"},
	{from: "internal/channel", to: append([]string{"internal/hub", "internal/engine/...", "internal/store", "internal/auth", "internal/metrics", "net", "net/http", "os"}, outer...), why: "channel is pure: values in, values out"},
	{from: "internal/metrics", to: append([]string{"internal/hub", "internal/engine/...", "internal/store", "internal/auth", "internal/channel"}, outer...), why: "everybody counts with metrics, so it can depend on nobody"},
	{from: "internal/move", to: append([]string{"internal/hub", "internal/engine/*", "internal/auth", "internal/tenant", "client", "net", "net/http"}, outer...), why: "a move reads a directory and makes pieces; how they travel is its caller's business"},
	{from: "internal/pack", to: []string{"internal/...", "net", "net/http", "os"}, why: "bytes mean nothing to it; who owns a format says what it holds"},
	{from: "internal/engine/roster", to: []string{"internal/engine/*", "internal/store", "internal/pack", "net", "os"}, why: "it counts who is there; who tells, and whom, is an engine's business"},
	{from: "internal/limit", to: []string{"internal/...", "net/http"}, why: "a bucket knows neither what it limits nor who is told"},

	// test/echo is no test but a server: the transport by itself, for suites that test WebSocket.
	{from: "test/...", except: []string{"test/echo"}, to: []string{"internal/..."}, why: "whole-binary tests know what the documentation says, not the code they test"},
}
