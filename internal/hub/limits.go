package hub

import (
	"net/netip"
	"time"

	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Limits bound how many connections there are and how often they ask for
// something. Zero values are no limits.
type Limits struct {
	ConnectionsPerApp  int
	ConnectionsPerUser int
	ConnectionsPerIP   int

	ConnectsPerIP   limit.Rate
	PublishesPerApp limit.Rate // from clients and backends
	Connection      Activity   // of one session
	User            Activity   // of all sessions of a user; anonymous ones have none
}

// Activity is how often a client may do something.
type Activity struct {
	Subscribes limit.Rate
	Publishes  limit.Rate
	RPCs       limit.Rate
	Bytes      limit.Rate // of messages; its Burst is at least the largest message
}

// activity is one of Activity.
type activity uint8

const (
	subscribing activity = iota
	publishing
	calling
	sending
	activities // how many there are
)

func (a *Activity) rates() [activities]limit.Rate {
	return [activities]limit.Rate{subscribing: a.Subscribes, publishing: a.Publishes, calling: a.RPCs, sending: a.Bytes}
}

// limits is what the hub keeps to enforce Limits.
type limits struct {
	Limits

	connection [activities]limit.Rate
	users      [activities]*limit.Set[userKey]
	connects   *limit.Set[netip.Addr]
	peers      *limit.Counts[netip.Addr]
	any        [activities]bool // whether there is a limit at all

	node    *limit.Report // of MaxSessions
	reports map[metrics.Limit]*limit.Report
	refused struct{ connection, user [activities]*limit.Report }
}

func newLimits(cfg *Config) *limits {
	l := &limits{Limits: cfg.Limits, reports: make(map[metrics.Limit]*limit.Report)}
	report := func(name metrics.Limit) *limit.Report {
		r := limit.NewReport(string(name), cfg.Metrics.Limited.Of(name).Inc, cfg.Log)
		l.reports[name] = r
		return r
	}
	l.connects = limit.NewSet[netip.Addr](cfg.Limits.ConnectsPerIP, 0)
	l.peers = limit.NewCounts[netip.Addr](cfg.Limits.ConnectionsPerIP)
	for _, name := range []metrics.Limit{
		metrics.ConnectionsPerApp, metrics.ConnectionsPerUser, metrics.ConnectionsPerIP, metrics.ConnectsPerIP, metrics.PublishesPerApp,
	} {
		report(name)
	}
	l.node = limit.NewReport("max_connections", cfg.Metrics.Refused.Of(metrics.RefuseConnectionLimit).Inc, cfg.Log)
	l.connection = cfg.Limits.Connection.rates()
	l.refused.connection = [activities]*limit.Report{
		report(metrics.SubscribesPerConnection), report(metrics.PublishesPerConnection),
		report(metrics.RPCsPerConnection), report(metrics.BytesPerConnection),
	}
	l.refused.user = [activities]*limit.Report{
		report(metrics.SubscribesPerUser), report(metrics.PublishesPerUser),
		report(metrics.RPCsPerUser), report(metrics.BytesPerUser),
	}
	for a, r := range cfg.Limits.User.rates() {
		l.users[a] = limit.NewSet[userKey](r, 0)
		l.any[a] = r.Limited() || l.connection[a].Limited()
	}
	return l
}

// passed is the time of buckets: since the hub was made.
func (h *Hub) passed(now time.Time) time.Duration { return now.Sub(h.started) }

// spending is what a session has taken lately, and the buckets of its user that it
// has taken something of. A session that rests has none.
type spending struct {
	own  [activities]limit.Bucket
	user [activities]limit.Held
}

// spend takes n of what the session and its user may do.
func (s *Session) spend(a activity, n int) bool {
	l := s.shard.hub.limits
	if !l.any[a] {
		return true
	}
	r, users := l.connection[a], l.users[a]
	if s.identity == nil || s.identity.Anonymous() {
		users = nil
	}
	if users == nil && !r.Limited() {
		return true
	}
	now, u := s.shard.hub.passed(s.shard.turn), s.shard.spendingOf(s)
	if _, ok := u.own[a].Take(now, int64(n), r); !ok {
		l.refused.connection[a].Refused(now, s.conn.Remote())
		return false
	}
	if users == nil {
		return true
	}
	if !u.user[a].Held() {
		u.user[a] = users.Hold(now, keyOf(s))
	}
	if _, ok := u.user[a].Take(now, int64(n)); !ok {
		l.refused.user[a].Refused(now, s.identity.User)
		return false
	}
	return true
}

// smallAnswer is how many bytes a client may answer a ping with while it rests,
// and stay without buckets.
const smallAnswer = 32

// spendBytes takes a message of what the session may send.
func (s *Session) spendBytes(n int) bool {
	if !s.shard.hub.limits.any[sending] || s.pongBy != 0 && n <= smallAnswer && s.shard.spending[s] == nil {
		return true
	}
	return s.spend(sending, n)
}

// Heard takes n bytes of what the session may send, and ends it when that is too
// much: for what a transport is sent between messages. It reports whether the
// session goes on.
func (s *Session) Heard(n int) bool {
	if !s.ended && !s.spendBytes(n) {
		s.Disconnect(DisconnectTooManyRequests)
	}
	return !s.ended
}

// MayCall takes a remote procedure call of what the session and its user may ask
// for. Error: ErrTooManyRequests.
func (s *Session) MayCall() error {
	if !s.spend(calling, 1) {
		return ErrTooManyRequests
	}
	return nil
}

// spendingOf makes it. One message of a session takes of several of its buckets:
// the last that was asked for is not looked up again.
func (sh *Shard) spendingOf(s *Session) *spending {
	if sh.spender == s {
		return sh.spent
	}
	u := sh.spending[s]
	if u == nil {
		if sh.spending == nil {
			sh.spending = make(map[*Session]*spending)
		}
		u = &spending{}
		sh.spending[s] = u
	}
	sh.spender, sh.spent = s, u
	return u
}

// rest forgets the buckets of a session that has done nothing for a while.
func (sh *Shard) rest(s *Session) {
	u := sh.spending[s]
	if u == nil {
		return
	}
	now := sh.hub.passed(sh.turn)
	for a := range u.own {
		if r := sh.hub.limits.connection[a]; r.Limited() && !u.own[a].Full(now, r) {
			return
		}
	}
	sh.forgetSpending(s)
}

func (sh *Shard) forgetSpending(s *Session) {
	u := sh.spending[s]
	if u == nil {
		return
	}
	for a := range u.user {
		u.user[a].Release()
	}
	delete(sh.spending, s)
	if sh.spender == s {
		sh.spender, sh.spent = nil, nil
	}
}
