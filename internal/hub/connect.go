package hub

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// joining is a session whose connect is not answered before the subscriptions
// that come with it: the connect reply tells of them, and nothing that happens on
// their channels goes before it.
type joining struct {
	done     func(ConnectResult, error)
	left     int // subscriptions without an answer
	started  []start
	controls []*engine.Control // what a backend wanted meanwhile
}

// start is a subscription that waits for the connect reply.
type start struct {
	sub    *subscription
	result SubscribeResult
	last   uint64
}

// joinAll subscribes a new session to the channels that its identity brings and
// to those it asks for, and answers the connect after that.
func (s *Session) joinAll(r *ConnectRequest, done func(ConnectResult, error)) {
	if len(s.identity.Channels) == 0 && (len(r.Subs) == 0 || !r.Ask) {
		done(s.connectResult(), nil)
		return
	}
	subs := s.wanted(r)
	if s.ended {
		return
	}
	j := &joining{done: done, left: len(subs)}
	s.shard.joining[s] = j
	recovering := 0
	for i := range subs {
		if subs[i].request.Recover {
			recovering++
		}
	}
	for i := range subs {
		w := &subs[i]
		// Together the first pages are no larger than one.
		w.request.budget = max(s.shard.hub.cfg.RecoveryBytes/max(recovering, 1), 1)
		if w.sub == nil {
			s.joinAsked(j, w)
		} else {
			s.joinOne(w)
		}
		if s.ended {
			return
		}
	}
	s.answerConnect(j)
}

func (s *Session) joinOne(w *wantedSub) {
	s.register(w.sub, w.request.Channel, &w.request, func(_ SubscribeResult, err error) { s.joinFailed(w.request.Channel, err) })
}

// joinAsked has the backend decide first. What it refuses is left out of the reply.
func (s *Session) joinAsked(j *joining, w *wantedSub) {
	s.askSubscribe(&w.request, func(sub *subscription, err error) {
		if err != nil {
			j.left--
			s.answerConnect(j)
			return
		}
		sub.flags |= flagServer
		w.sub = sub
		s.joinOne(w)
	})
}

// wantedSub is a subscription to be made by connect.
type wantedSub struct {
	sub     *subscription // nil: the backend has to be asked
	request SubscribeRequest
}

// wanted admits the subscriptions of a connect. One that cannot be is left out
// of the reply, which tells the client.
func (s *Session) wanted(r *ConnectRequest) []wantedSub {
	h := s.shard.hub
	names := make(map[string]bool, len(s.identity.Channels))
	list := make([]wantedSub, 0, len(s.identity.Channels))
	for _, name := range s.identity.Channels {
		opts, err := s.tenant.resolve(name)
		if err != nil || names[name] {
			continue
		}
		names[name] = true
		w := wantedSub{request: r.Subs[name]}
		w.request.Channel, w.request.Positioned, w.request.Recoverable, w.request.JoinLeave = name, true, true, true
		w.request.Delta, w.request.Filter, w.request.Token = "", nil, ""
		made := r.made[name]
		if made != nil {
			w.request.reply, w.request.override = made.Data, made.Override
		}
		w.sub = &subscription{options: opts, flags: subscribeFlags(opts, &w.request) | flagServer}
		if made != nil {
			w.sub.setInfo(s, made.Info)
		}
		list = append(list, w)
	}
	for name, request := range r.Subs {
		if names[name] || !r.Ask || len(list) >= h.cfg.MaxChannels {
			continue
		}
		w := wantedSub{request: request}
		w.request.Channel = name
		var err error
		switch w.sub, err = s.admit(&w.request); {
		case err == nil:
			w.sub.flags |= flagServer
		case !errors.Is(err, errAsk):
			continue
		}
		list = append(list, w)
	}
	if len(list) > h.cfg.MaxChannels {
		h.count.subscriptions.Inc()
		s.Disconnect(DisconnectChannelLimit)
	}
	return list
}

// joined keeps the answer of a subscription that came with a connect.
func (s *Session) joined(sub *subscription, result SubscribeResult, last uint64) bool {
	j := s.shard.joining[s]
	if j == nil {
		return false
	}
	if sub.reading == nil { // what comes live waits for the reply
		sub.reading = &readBuffer{}
	}
	j.started = append(j.started, start{sub, result, last})
	j.left--
	s.answerConnect(j)
	return true
}

// joinFailed ends a session that would silently miss a channel; it comes back.
func (s *Session) joinFailed(name string, err error) {
	s.shard.hub.log.Warn("subscribe at connect failed", "channel", name, "error", err)
	s.Disconnect(DisconnectServerError)
}

func (s *Session) answerConnect(j *joining) {
	if j.left > 0 || s.shard.joining[s] != j {
		return
	}
	delete(s.shard.joining, s)
	res := s.connectResult()
	for i := range j.started {
		res.Subs = append(res.Subs, j.started[i].result)
	}
	j.done(res, nil)
	for i := range j.started {
		w := &j.started[i]
		s.start(w.sub, &w.result, w.last)
	}
	for _, c := range j.controls {
		if !s.ended {
			s.control(c)
		}
	}
}

// later keeps what a backend wants of a session whose connect is not answered.
func (s *Session) later(c *engine.Control) bool {
	j := s.shard.joining[s]
	if j == nil || c.Op == engine.ControlDisconnect {
		return false
	}
	j.controls = append(j.controls, c)
	return true
}
