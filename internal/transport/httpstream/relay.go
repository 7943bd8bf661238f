package httpstream

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// Limits of relays, see relaywire.go.
const (
	relayWindow  = 64 << 10 // bytes on their way between nodes, or waiting for a client
	relayChunk   = 32 << 10 // bytes of one message
	relayTick    = time.Second
	relayBeat    = 3 * relayTick
	relaySilence = 10 * time.Second
	// relayPatience is how long the end of a response may take once its node has asked
	// for it.
	relayPatience = 5 * time.Second
)

// relays are the relays of an XHR, by their ids.
type relays struct {
	broken *metrics.Counter
	open   *metrics.Gauge // visitors

	mu       sync.Mutex
	outlets  map[string]*outlet  // of sessions that are here
	visitors map[string]*visitor // of responses that are here
}

func newRelays(m *metrics.Metrics) relays {
	return relays{
		broken: m.NodeRelaysBroken, open: m.NodeRelays,
		outlets: make(map[string]*outlet), visitors: make(map[string]*visitor),
	}
}

func (r *relays) outlet(id string) *outlet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outlets[id]
}

func (r *relays) visitor(id string) *visitor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.visitors[id]
}

// tell sends a message to another node.
func (x *XHR) tell(node string, m relayMessage) error {
	m.from = x.cfg.Hub.UID()
	return x.cfg.Hub.Send(node, m.append(make([]byte, 0, 128+len(m.bytes))))
}

// hint sends what is as good as lost where it cannot be sent: the other node gives up
// after a while.
func (x *XHR) hint(node, relay string, kind relayKind) {
	if err := x.tell(node, relayMessage{kind: kind, relay: relay}); err != nil {
		x.cfg.Log.Debug("another node was not told", "node", node, "error", err)
	}
}

// Has implements hub.Relayed.
func (x *XHR) Has(name string) bool { return x.find(name) != nil }

// Take implements hub.Relayed. What a relay is told when it is no longer known is
// answered, lest the other node wait for nothing.
func (x *XHR) Take(data []byte) {
	m, err := readRelay(data)
	if err != nil {
		x.cfg.Log.Error("a message of another node cannot be read", "error", err)
		return
	}
	switch m.kind {
	case relaySaid:
		x.takeSaid(m)
	case relayOpen:
		x.openOutlet(m)
	case relayTook, relayLeft, relayEnough:
		if o := x.relays.outlet(m.relay); o != nil {
			o.carrier.shard.Post(func() { o.take(m) })
		} else if m.kind != relayLeft {
			x.hint(m.from, m.relay, relayBroken)
		}
	case relayPart, relayLast, relayBroken:
		if v := x.relays.visitor(m.relay); v != nil {
			v.place.Post(func() { v.take(m) })
		} else if m.kind == relayPart {
			x.hint(m.from, m.relay, relayLeft)
		}
	}
}

// takeSaid takes what a request to another node has said. It is taken apart on the
// session's shard: all that nodes say to each other waits for Take.
func (x *XHR) takeSaid(m *relayMessage) {
	c := x.find(m.session)
	if c == nil {
		return
	}
	c.shard.Post(func() {
		said, err := readTexts(m.bytes)
		if err != nil {
			x.cfg.Log.Error("a message of another node cannot be read", "error", err)
			return
		}
		c.hear(said)
	})
}

// carry brings what a request says to a session of another node.
func (x *XHR) carry(r *http.Request, node, id string, said []string) *refusal {
	err := x.tell(node, relayMessage{kind: relaySaid, session: id, bytes: appendTexts(nil, said)})
	switch {
	case err == nil:
		return nil
	case isNowhere(err):
		return noSession
	default:
		x.cfg.Log.Debug("not carried to another node", "remote", r.RemoteAddr, "error", err)
		return notTaken
	}
}

func isNowhere(err error) bool {
	return errors.Is(err, hub.ErrUnknownSession) || errors.Is(err, engine.ErrUnknownNode)
}

// elsewhere names the node that a session is at, if it is not this one; "": it is
// here, or nowhere.
func (x *XHR) elsewhere(r *http.Request, id string) (node string, denial *transport.Denial) {
	if x.find(id) != nil {
		return "", nil
	}
	node, err := x.cfg.Hub.Locate(r.Context(), id)
	if err == nil || isNowhere(err) {
		return node, nil
	}
	x.cfg.Log.Debug("a session was not looked for at other nodes", "remote", r.RemoteAddr, "error", err)
	return "", &transport.Denial{Status: http.StatusServiceUnavailable, Err: err}
}
