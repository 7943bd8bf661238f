package hub

import (
	"github.com/fanfare-push/fanfare/internal/engine"
)

// Tell is something that has happened, for an Observer. Which fields are set
// depends on its Kind.
type Tell struct {
	Kind    TellKinds // one of them
	App     string
	Client  string // the session's id; of a publication, who published; "": a backend
	User    string // "": anonymous
	Channel string
	Reason  Disconnect      // of TellDisconnected
	At      engine.Position // of TellPublished; zero: it is not stored
	Event   string          // of TellPublished
}

// TellKinds is a set of kinds of Tells.
type TellKinds uint8

// The kinds of Tells.
const (
	TellConnected    TellKinds = 1 << iota // a session's connect has succeeded
	TellDisconnected                       // it has ended, whoever ended it
	TellSubscribed                         // a subscription is live
	TellUnsubscribed                       // it has ended, with its session or before
	TellPublished                          // a publication was accepted here, and stored where that is asked for
	TellAudience                           // Observer.Changed, and Hub.Audience is that of all nodes
	TellMembers                            // Observer.Member
)

// tells reports whether somebody is told of a kind.
func (h *Hub) tells(k TellKinds) bool { return h.told&k != 0 }

func (s *Session) tell(k TellKinds, d Disconnect) {
	h := s.shard.hub
	if !h.tells(k) || !s.connected {
		return
	}
	h.cfg.Observer.Tell(Tell{Kind: k, App: s.identity.App, Client: s.ID(), User: s.identity.User, Reason: d})
}

// tell says that the subscription has begun or ended; of an end, only when its
// beginning was told.
func (sub *subscription) tell(k TellKinds) {
	s := sub.session
	h := s.shard.hub
	id := sub.topic.id
	if !h.tells(TellSubscribed|TellUnsubscribed) || isOnline(id) {
		return
	}
	begins := k == TellSubscribed
	if begins == (sub.flags&flagTold != 0) {
		return
	}
	sub.flags ^= flagTold
	if h.tells(k) {
		h.cfg.Observer.Tell(Tell{Kind: k, App: id.App, Client: s.ID(), User: s.identity.User, Channel: id.Name})
	}
}

// tellPublished is called when the engine has answered, on the node that published.
// What is stored is told again when it is published again: the node that stored it may
// not have lived to tell.
func (h *Hub) tellPublished(req *engine.PublishRequest, res engine.PublishResult) {
	if !h.tells(TellPublished) || res.Duplicate && res.Offset == 0 {
		return
	}
	pub := &req.Publication
	t := Tell{Kind: TellPublished, App: req.Channel.App, Channel: req.Channel.Name, Event: pub.Event, At: res.Position}
	if pub.Info != nil {
		t.Client, t.User = pub.Info.Client, pub.Info.User
	}
	h.cfg.Observer.Tell(t)
}
