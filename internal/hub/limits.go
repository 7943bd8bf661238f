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
	ConnectsPerUser limit.Rate
	ConnectsPerApp  limit.Rate
	PublishesPerApp limit.Rate // from clients and backends
	HistoryPerApp   int64      // bytes on disk
	Connection      Activity   // of one session
	User            Activity   // of all sessions of a user; anonymous ones have none
	IP              Activity   // of all sessions from a host, see limit.Host
	App             Activity   // of all sessions of an App; Publishes has no meaning, see PublishesPerApp
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

// sharer is what sessions have in common whose activity is limited together.
type sharer uint8

const (
	byUser    sharer = iota
	byAddress        // the host that they come from
	byApp
	sharers // how many there are
)

// sharerKey names a sharer: a user of an App, a host, or an App.
type sharerKey struct{ app, name string }

// sharedLimit is a rate of all sessions that have a sharer in common.
type sharedLimit struct {
	by      sharer
	place   int // among spending.shared
	set     *limit.Set[sharerKey]
	refused *limit.Report
}

// limits is what the hub keeps to enforce Limits.
type limits struct {
	Limits

	connection [activities]limit.Rate
	shared     [activities][]sharedLimit
	places     int // in spending.shared
	connects   *limit.Set[netip.Addr]
	connectsAs [sharers]*limit.Set[sharerKey] // of byUser and byApp
	peers      *limit.Counts[netip.Addr]
	any        [activities]bool // whether there is a limit for every session
	ofUsers    [activities]bool // whether there is one for those that have a user

	node    *limit.Report // of MaxSessions
	reports map[metrics.Limit]*limit.Report
	refused [activities]*limit.Report // of a session
}

// limitNames are those of the limits of each activity, as metrics have them.
var limitNames = [activities]struct {
	connection metrics.Limit
	shared     [sharers]metrics.Limit // "": none, see Limits.PublishesPerApp
}{
	subscribing: {metrics.SubscribesPerConnection, [sharers]metrics.Limit{metrics.SubscribesPerUser, metrics.SubscribesPerIP, metrics.SubscribesPerApp}},
	publishing:  {metrics.PublishesPerConnection, [sharers]metrics.Limit{metrics.PublishesPerUser, metrics.PublishesPerIP, ""}},
	calling:     {metrics.RPCsPerConnection, [sharers]metrics.Limit{metrics.RPCsPerUser, metrics.RPCsPerIP, metrics.RPCsPerApp}},
	sending:     {metrics.BytesPerConnection, [sharers]metrics.Limit{metrics.BytesPerUser, metrics.BytesPerIP, metrics.BytesPerApp}},
}

func newLimits(cfg *Config) *limits {
	l := &limits{Limits: cfg.Limits, reports: make(map[metrics.Limit]*limit.Report)}
	report := func(name metrics.Limit) *limit.Report {
		r := limit.NewReport(string(name), cfg.Metrics.Limited.Of(name).Inc, cfg.Log)
		l.reports[name] = r
		return r
	}
	for _, name := range []metrics.Limit{
		metrics.ConnectionsPerApp, metrics.ConnectionsPerUser, metrics.ConnectionsPerIP,
		metrics.ConnectsPerIP, metrics.ConnectsPerUser, metrics.ConnectsPerApp, metrics.PublishesPerApp,
		metrics.HistoryBytesPerApp,
	} {
		report(name)
	}
	l.node = limit.NewReport("max_connections", cfg.Metrics.Refused.Of(metrics.RefuseConnectionLimit).Inc, cfg.Log)
	l.peers = limit.NewCounts[netip.Addr](cfg.Limits.ConnectionsPerIP)
	l.connects = limit.NewSet[netip.Addr](cfg.Limits.ConnectsPerIP, 0)
	l.connectsAs[byUser] = limit.NewSet[sharerKey](cfg.Limits.ConnectsPerUser, 0)
	l.connectsAs[byApp] = limit.NewSet[sharerKey](cfg.Limits.ConnectsPerApp, 0)
	l.connection = cfg.Limits.Connection.rates()
	together := [sharers][activities]limit.Rate{byUser: cfg.Limits.User.rates(), byAddress: cfg.Limits.IP.rates(), byApp: cfg.Limits.App.rates()}
	for a := range activities {
		l.refused[a] = report(limitNames[a].connection)
		l.any[a] = l.connection[a].Limited()
		for by := range sharers {
			name := limitNames[a].shared[by]
			if name == "" {
				continue
			}
			refused := report(name)
			if set := limit.NewSet[sharerKey](together[by][a], 0); set != nil {
				l.shared[a] = append(l.shared[a], sharedLimit{by, l.places, set, refused})
				l.places++
				if by == byUser {
					l.ofUsers[a] = true
				} else {
					l.any[a] = true
				}
			}
		}
	}
	return l
}

// passed is the time of buckets: since the hub was made.
func (h *Hub) passed(now time.Time) time.Duration { return now.Sub(h.started) }

// spending is what a session has taken lately, and the buckets it shares that it has
// taken something of. A session that rests has none.
type spending struct {
	own    [activities]limit.Bucket
	shared []limit.Held // by sharedLimit.place; nil where nothing is shared
}

// spend takes n of what the session, and those that it shares a limit with, may do.
func (s *Session) spend(a activity, n int) bool {
	l := s.shard.hub.limits
	if !s.limited(a) {
		return true
	}
	now, u := s.shard.hub.passed(s.shard.turn), s.shard.spendingOf(s)
	if r := l.connection[a]; r.Limited() {
		if _, ok := u.own[a].Take(now, int64(n), r); !ok {
			l.refused[a].Refused(now, s.conn.Remote())
			return false
		}
	}
	for i := range l.shared[a] {
		if c := &l.shared[a][i]; !s.spendShared(c, &u.shared[c.place], now, n) {
			return false
		}
	}
	return true
}

// limited reports whether there is a limit that can hold for the session: one that has
// none does without buckets.
func (s *Session) limited(a activity) bool {
	l := s.shard.hub.limits
	return l.any[a] || l.ofUsers[a] && s.hasUser()
}

func (s *Session) hasUser() bool { return s.identity != nil && !s.identity.Anonymous() }

func (s *Session) spendShared(c *sharedLimit, held *limit.Held, now time.Duration, n int) bool {
	if !held.Held() {
		key, known := s.sharerKey(c.by)
		if !known {
			return true
		}
		*held = c.set.Hold(now, key)
	}
	if _, ok := held.Take(now, int64(n)); ok {
		return true
	}
	key, _ := s.sharerKey(c.by)
	c.refused.Refused(now, key.name)
	return false
}

// sharerKey names what the session has in common with others; false: nothing, as
// who has no user, or no address that is known.
func (s *Session) sharerKey(by sharer) (sharerKey, bool) {
	switch by {
	case byUser:
		if !s.hasUser() {
			return sharerKey{}, false
		}
		return keyOf(s), true
	case byAddress:
		at, err := netip.ParseAddrPort(s.conn.Remote())
		if err != nil {
			return sharerKey{}, false
		}
		return sharerKey{name: limit.Host(at.Addr()).String()}, true
	}
	return sharerKey{s.tenant.name, s.tenant.name}, true
}

// smallAnswer is how many bytes a client may answer a ping with while it rests,
// and stay without buckets.
const smallAnswer = 32

// spendBytes takes a message of what the session may send.
func (s *Session) spendBytes(n int) bool {
	if !s.limited(sending) || s.pongBy != 0 && n <= smallAnswer && s.shard.spending[s] == nil {
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
		if n := sh.hub.limits.places; n > 0 {
			u.shared = make([]limit.Held, n)
		}
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
	for i := range u.shared {
		u.shared[i].Release()
	}
	delete(sh.spending, s)
	if sh.spender == s {
		sh.spender, sh.spent = nil, nil
	}
}
