package pusher

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// The codes of the protocol that are used. Those below 4300 end the connection;
// pusher-js takes 4300 and above in a close frame for final, so those are sent in
// pusher:error and leave the connection as it is.
const (
	CodeNoApp           = 4001 // no App has this key
	CodeBadVersion      = 4006 // the client's version is no version
	CodeBadProtocol     = 4007 // a version of the protocol that is not served
	CodeNoProtocol      = 4008 // no version of the protocol is given
	CodeUnauthorized    = 4009 // refused, or ended by a backend
	CodeOverQuota       = 4004 // too many connections of one user
	CodeOverCapacity    = 4100 // come back after a while
	CodeReconnect       = 4200 // come back at once
	CodeNoPong          = 4201 // a ping was not answered
	CodeClientEventRate = 4301 // too many client events
	CodeWatchlist       = 4302 // a watchlist of more than MaxWatchlist users
)

// Codes lists them all, for metrics.
func Codes() []uint32 {
	return []uint32{
		CodeNoApp, CodeOverQuota, CodeBadVersion, CodeBadProtocol, CodeNoProtocol, CodeUnauthorized,
		CodeOverCapacity, CodeReconnect, CodeNoPong, CodeClientEventRate, CodeWatchlist,
	}
}

// Where the ranges of codes begin.
const (
	firstFinal = 3500 // of the hub's: do not come back
	firstOwn   = 4000 // the protocol's, and what a backend makes up
	lastOwn    = 4999
	firstHub   = 3000
)

// farewell names a reason of the hub's in the protocol's terms. The protocol's
// own codes, a backend's and those of the transport stay.
func farewell(d hub.Disconnect) hub.Disconnect {
	code := uint32(CodeReconnect)
	switch {
	case d.Code < firstHub || d.Code >= firstOwn && d.Code <= lastOwn:
		return d
	case d.Code == hub.DisconnectNoPong.Code:
		code = CodeNoPong
	case d.Code == hub.DisconnectSlow.Code, d.Code == hub.DisconnectTooManyRequests.Code:
		code = CodeOverCapacity
	case d.Code == hub.DisconnectConnectionLimit.Code:
		code = CodeOverQuota
	case d.Code >= firstFinal:
		code = CodeUnauthorized
	}
	return hub.Disconnect{Code: code, Reason: d.Reason}
}

// refusal is why a subscription is not made: the type and status of
// pusher:subscription_error, in terms of HTTP.
type refusal struct {
	kind   string
	text   string
	status int
	code   uint32 // for metrics: of the Centrifuge protocol's errors
}

// The refusals that the protocol itself finds.
var (
	refuseName      = refusal{"BadRequest", ErrBadChannel.Error(), 400, 107}
	refuseData      = refusal{"BadRequest", "channel_data must be JSON with a user_id of 1 to 128 bytes, and 1 KiB at most", 400, 107}
	refuseSignature = refusal{"AuthError", "the signature is not that of this socket id, channel and channel_data", 401, 103}
	refuseNoMember  = refusal{"AuthError", "a presence channel needs channel_data, or a user who has signed in", 401, 103}
)

// refusals names the hub's errors.
var refusals = []struct {
	err error
	refusal
}{
	{hub.ErrPermissionDenied, refusal{"AuthError", "the channel is not open to this client", 403, 103}},
	{channel.ErrTokenInvalid, refusal{"AuthError", "the channel is not open to this client", 403, 103}},
	{hub.ErrUnauthorized, refusal{"AuthError", "the channel is not open to this client", 403, 103}},
	{hub.ErrUnknownChannel, refusal{"BadRequest", "the channel's namespace is not defined", 404, 102}},
	{hub.ErrBadRequest, refusal{"BadRequest", "no channel can have this name", 400, 107}},
	{hub.ErrAlreadySubscribed, refusal{"BadRequest", "there is a subscription to this channel", 409, 105}},
	{hub.ErrLimitExceeded, refusal{"LimitReached", "too many channels on this connection, or too many members on the channel", 413, 106}},
	{hub.ErrBusy, refusal{"Unavailable", "too busy; try again", 503, 111}},
	{hub.ErrTooManyRequests, refusal{"LimitReached", "too many requests; try again", 429, 111}},
	{hub.ErrReadOnly, refusal{"Unavailable", "too busy; try again", 503, 111}},
	{hub.ErrQuota, refusal{"LimitReached", "the app has as much history as it may store", 413, 106}},
	{channel.ErrTokenKeys, refusal{"Unavailable", "the keys of tokens are being fetched; try again", 503, 100}},
	{hub.ErrExpired, refusal{"AuthError", "the channel is not open to this client", 403, 103}},
	{hub.ErrNoAnswer, refusal{"Unavailable", "the backend has not answered; try again", 503, 100}},
	{hub.ErrShutdown, refusal{"Unavailable", "the server is stopping", 503, 100}},
}

var refuseInternal = refusal{"ServerError", "internal server error", 500, 100}

// refusalOf names an error; known is false for one that has no name, whose text
// belongs into the log.
func refusalOf(err error) (r refusal, known bool) {
	var said *hub.BackendError
	if errors.As(err, &said) {
		return refusal{"AuthError", said.Message, 403, 103}, true
	}
	for i := range refusals {
		if errors.Is(err, refusals[i].err) {
			return refusals[i].refusal, true
		}
	}
	return refuseInternal, false
}
