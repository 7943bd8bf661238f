package centrifuge

import (
	"errors"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// do does one command. An error says that it is malformed.
func (c *client) do(method string, cmd *protocol.Command) error {
	switch {
	case method == methodConnect:
		return c.connect(cmd.Id, cmd.Connect)
	case c.stage == stageFailed:
		return errConnectFailed
	case c.stage != stageLive:
		return errNotConnected
	}
	switch method {
	case methodPublish:
		return c.publish(cmd.Id, cmd.Publish)
	case methodSubscribe:
		return c.subscribe(cmd.Id, cmd.Subscribe)
	case methodUnsubscribe:
		return c.unsubscribe(cmd.Id, cmd.Unsubscribe)
	case methodHistory:
		return c.history(cmd.Id, cmd.History)
	case methodPresence:
		return c.presence(cmd.Id, cmd.Presence)
	case methodPresenceStats:
		return c.presenceStats(cmd.Id, cmd.PresenceStats)
	case methodRefresh:
		return c.refresh(cmd.Id, cmd.Refresh)
	case methodSubRefresh:
		return c.subRefresh(cmd.Id, cmd.SubRefresh)
	case methodRPC:
		if err := c.s.MayCall(); err != nil {
			c.fail(method, cmd.Id, err)
			return nil
		}
		c.rpc(cmd.Id, cmd.Rpc)
		return nil
	case methodPing:
		return c.reject(method, cmd.Id, errNotAvailable)
	case methodSend:
		c.proto.cfg.Count(methodSend, 0)
		return nil
	}
	return c.pong()
}

// reply answers a command with what encode appends, or with err's code.
func (c *client) reply(method string, id uint32, err error, encode func([]byte) []byte) {
	if err != nil {
		c.fail(method, id, err)
		return
	}
	buf := c.line()
	buf.b = encode(buf.b)
	c.sendLine(buf)
	c.proto.cfg.Count(method, 0)
}

// reject answers a command with an error. It returns nil: what is answered is
// not malformed.
func (c *client) reject(method string, id uint32, code *errorCode) error {
	buf := c.line()
	buf.b = c.proto.codec.errorReply(buf.b, id, code)
	c.sendLine(buf)
	c.proto.cfg.Count(method, code.code)
	return nil
}

// fail answers a command that the session refused: with an error, or by ending
// the connection where SDKs would take an error for final.
func (c *client) fail(method string, id uint32, err error) {
	if d, ends := disconnectFor(method, err); ends {
		c.disconnect(d)
		return
	}
	code := errorFor(err)
	if code == nil {
		code = backendError(err)
	}
	if code == nil {
		c.proto.cfg.Log.Error("client command failed", "method", method, "error", err)
		code = errInternal
	}
	_ = c.reject(method, id, code)
}

// disconnectFor says which errors end the connection.
func disconnectFor(method string, err error) (d hub.Disconnect, ends bool) {
	switch expired := isExpired(err); {
	case (method == methodConnect || method == methodRefresh) && errors.Is(err, channel.ErrTokenInvalid):
		return hub.DisconnectInvalidToken, true
	case method == methodRefresh && expired:
		return hub.DisconnectExpired, true
	case method == methodSubRefresh && expired:
		return hub.DisconnectSubExpired, true
	}
	return hub.Disconnect{}, false
}

func isExpired(err error) bool {
	return errors.Is(err, channel.ErrTokenExpired) || errors.Is(err, hub.ErrTokenExpired)
}

func (c *client) connect(id uint32, r *protocol.ConnectRequest) error {
	switch c.stage {
	case stageFailed:
		return errConnectFailed
	case stageLive, stageConnecting:
		return errSecondConnect
	}
	c.stage = stageConnecting
	c.s.Connect(connectRequest(c.proto, r), func(res hub.ConnectResult, err error) {
		c.stage = stageLive
		if err != nil {
			c.stage, c.held = stageFailed, nil
		}
		if secret, _ := c.s.Emulation(); secret != "" {
			c.heard = new(ids)
		}
		c.reply(methodConnect, id, err, func(b []byte) []byte {
			return c.proto.codec.reply(b, &protocol.Reply{Id: id, Connect: connectResult(c.proto, c.s, &res)})
		})
		if held := c.held; len(held) > 0 {
			c.held = nil
			c.receive(held)
		}
	})
	return nil
}

func connectRequest(p *Protocol, r *protocol.ConnectRequest) hub.ConnectRequest {
	req := hub.ConnectRequest{Token: r.Token, Name: r.Name, Version: r.Version, Headers: r.Headers}
	req.Data, req.Binary = p.payload(r.Data)
	if len(r.Subs) > 0 {
		req.Subs = make(map[string]hub.SubscribeRequest, len(r.Subs))
	}
	for name, sub := range r.Subs {
		if sub != nil {
			req.Subs[name] = subscribeRequest(sub)
		}
	}
	return req
}

// payload is data for a backend.
func (p *Protocol) payload(data []byte) (kept []byte, binary bool) {
	if len(data) == 0 {
		return nil, false
	}
	return p.codec.payload(data, p.cfg.MaxDepth)
}

// subscribeRequest is what a client says of a subscription, without its channel
// and filter.
func subscribeRequest(r *protocol.SubscribeRequest) hub.SubscribeRequest {
	return hub.SubscribeRequest{
		Token: r.Token, Recover: r.Recover, Since: engine.Position{Epoch: r.Epoch, Offset: r.Offset},
		Positioned: r.Positioned, Recoverable: r.Recoverable, JoinLeave: r.JoinLeave, Delta: r.Delta,
	}
}

func connectResult(p *Protocol, s session, res *hub.ConnectResult) *protocol.ConnectResult {
	secret, node := s.Emulation()
	result := &protocol.ConnectResult{
		Client: res.Client, Version: p.cfg.Version, Expires: res.Expires, Ttl: res.ExpireIn,
		Ping: res.Ping, Pong: res.Pong, Session: secret, Node: node, Data: res.Data,
	}
	if len(res.Subs) > 0 {
		result.Subs = make(map[string]*protocol.SubscribeResult, len(res.Subs))
	}
	for i := range res.Subs {
		sub := subscribeResult(&res.Subs[i])
		sub.Publications = publications(p.codec, res.Subs[i].Publications)
		result.Subs[res.Subs[i].Channel] = sub
	}
	return result
}

func (c *client) refresh(id uint32, r *protocol.RefreshRequest) error {
	if r.Token == "" {
		return errNoToken
	}
	c.s.Refresh(r.Token, func(res hub.ConnectResult, err error) {
		c.reply(methodRefresh, id, err, func(b []byte) []byte {
			return c.proto.codec.reply(b, &protocol.Reply{Id: id, Refresh: &protocol.RefreshResult{
				Client: res.Client, Version: c.proto.cfg.Version, Expires: res.Expires, Ttl: res.ExpireIn,
			}})
		})
	})
	return nil
}

func (c *client) subscribe(id uint32, r *protocol.SubscribeRequest) error {
	switch {
	case r.Channel == "":
		return errNoChannel
	case r.Type < 0 || r.Type > maxSubscribeType:
		return c.reject(methodSubscribe, id, errBadRequest)
	case r.Type != 0:
		return c.reject(methodSubscribe, id, errNotAvailable)
	}
	filter, err := compileFilter(r.Tf)
	if err != nil {
		return c.reject(methodSubscribe, id, errBadRequest)
	}
	req := subscribeRequest(r)
	req.Channel, req.Filter = r.Channel, filter
	req.Data, req.Binary = c.proto.payload(r.Data)
	mustRecover := r.Flag&flagRejectUnrecovered != 0
	c.s.Subscribe(req, func(res hub.SubscribeResult, err error) {
		if err == nil && mustRecover && res.Recoverable && res.WasRecovering && !res.Recovered {
			c.s.Unsubscribe(req.Channel)
			err = hub.ErrUnrecoverable
		}
		c.reply(methodSubscribe, id, err, func(b []byte) []byte {
			return c.proto.codec.subscribeReply(b, id, &res)
		})
	})
	return nil
}

func (c *client) unsubscribe(id uint32, r *protocol.UnsubscribeRequest) error {
	if r.Channel == "" {
		return errNoChannel
	}
	c.s.Unsubscribe(r.Channel)
	c.reply(methodUnsubscribe, id, nil, func(b []byte) []byte {
		return c.proto.codec.emptyReply(b, id, methodUnsubscribe)
	})
	return nil
}

func (c *client) subRefresh(id uint32, r *protocol.SubRefreshRequest) error {
	switch {
	case r.Channel == "":
		return errNoChannel
	case r.Type > 0 && r.Type <= maxSubRefreshType:
		return c.reject(methodSubRefresh, id, errNotAvailable)
	case r.Type != 0 || r.Token == "":
		return c.reject(methodSubRefresh, id, errBadRequest)
	}
	c.s.SubRefresh(r.Channel, r.Token, func(expireIn uint32, err error) {
		c.reply(methodSubRefresh, id, err, func(b []byte) []byte {
			return c.proto.codec.reply(b, &protocol.Reply{Id: id, SubRefresh: &protocol.SubRefreshResult{
				Expires: expireIn > 0, Ttl: expireIn,
			}})
		})
	})
	return nil
}

func (c *client) publish(id uint32, r *protocol.PublishRequest) error {
	switch {
	case r.Channel == "":
		return errNoChannel
	case r.Type == mapPublish:
		return c.reject(methodPublish, id, errNotAvailable)
	case r.Type != 0 || len(r.Data) == 0:
		return c.reject(methodPublish, id, errBadRequest)
	}
	data, binary := c.proto.codec.payload(r.Data, c.proto.cfg.MaxDepth)
	c.s.Publish(hub.ClientPublish{Channel: r.Channel, Data: data, Binary: binary}, func(_ engine.PublishResult, err error) {
		if err != nil {
			c.fail(methodPublish, id, err)
			return
		}
		buf := c.line()
		buf.b = c.proto.codec.emptyReply(buf.b, id, methodPublish)
		c.sendLine(buf)
		c.proto.cfg.Count(methodPublish, 0)
	})
	return nil
}

func (c *client) rpc(id uint32, r *protocol.RPCRequest) {
	req := hub.RPC{Method: r.Method}
	req.Data, req.Binary = c.proto.payload(r.Data)
	c.s.RPC(req, func(res hub.RPCResult, err error) {
		c.reply(methodRPC, id, err, func(b []byte) []byte {
			data := c.proto.codec.data(&engine.Publication{Data: res.Data, Binary: res.Binary})
			return c.proto.codec.reply(b, &protocol.Reply{Id: id, Rpc: &protocol.RPCResult{Data: data}})
		})
	})
}

func (c *client) history(id uint32, r *protocol.HistoryRequest) error {
	if r.Channel == "" {
		return errNoChannel
	}
	q := hub.HistoryQuery{Limit: int(r.Limit), Reverse: r.Reverse}
	if r.Since != nil {
		if r.Reverse && r.Since.Offset == 0 {
			return c.reject(methodHistory, id, errBadRequest)
		}
		q.Since = &engine.Position{Epoch: r.Since.Epoch, Offset: r.Since.Offset}
	}
	c.s.History(r.Channel, q, func(res engine.HistoryResult, err error) {
		c.reply(methodHistory, id, err, func(b []byte) []byte { return c.proto.codec.historyReply(b, id, &res) })
	})
	return nil
}

// presence answers with everybody, or with error 106 where that is more than
// MaxReply: a reply that fills the outbox would cost the client its connection.
func (c *client) presence(id uint32, r *protocol.PresenceRequest) error {
	if r.Channel == "" {
		return errNoChannel
	}
	c.s.Presence(r.Channel, func(members engine.Members, err error) {
		if err == nil && presenceSize(members) > c.proto.cfg.MaxReply {
			err = hub.ErrLimitExceeded
		}
		c.reply(methodPresence, id, err, func(b []byte) []byte { return c.proto.codec.presenceReply(b, id, members) })
	})
	return nil
}

// presenceSize is about what a presence reply takes in bytes.
func presenceSize(members engine.Members) int {
	const perMember = 40 // names of fields and punctuation
	size := 0
	for client, info := range members {
		size += perMember + len(client) + len(info.User) + len(info.Client) + len(info.ConnInfo) + len(info.ChanInfo)
	}
	return size
}

func (c *client) presenceStats(id uint32, r *protocol.PresenceStatsRequest) error {
	if r.Channel == "" {
		return errNoChannel
	}
	c.s.PresenceStats(r.Channel, func(stats engine.PresenceStats, err error) {
		c.reply(methodPresenceStats, id, err, func(b []byte) []byte {
			return c.proto.codec.reply(b, &protocol.Reply{Id: id, PresenceStats: &protocol.PresenceStatsResult{
				NumClients: uint32(stats.Clients), NumUsers: uint32(stats.Users),
			}})
		})
	})
	return nil
}
