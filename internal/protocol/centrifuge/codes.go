package centrifuge

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// errorCode is an error reply as a client is told it.
type errorCode struct {
	code      uint32
	message   string
	temporary bool   // the same command may succeed later
	meaning   string // for docs/codes.md
}

// The errors of the protocol.
var (
	errInternal          = &errorCode{100, "internal server error", true, "Something failed in the server; its log says what. Also while it shuts down, and when a backend that has to be asked does not answer."}
	errUnauthorized      = &errorCode{101, "unauthorized", false, "A connection without a token, where anonymous clients are not allowed."}
	errUnknownChannel    = &errorCode{102, "unknown channel", false, "The channel's namespace is not defined."}
	errPermissionDenied  = &errorCode{103, "permission denied", false, "Neither a token nor an option of the namespace allows it, the subscription token is invalid, or there is no subscription to refresh."}
	errMethodNotFound    = &errorCode{104, "method not found", false, "A backend knows no such RPC method. Sent when it says so."}
	errAlreadySubscribed = &errorCode{105, "already subscribed", false, "The connection has a subscription to this channel."}
	errLimitExceeded     = &errorCode{106, "limit exceeded", false, "Too many subscriptions on one connection, a publication that is too large, or for which its App has no room in its history ([limits](limits.md#history)), or a presence list that is too long to send."}
	errBadRequest        = &errorCode{107, "bad request", false, "A field is missing or out of its range, or no channel can have this name."}
	errNotAvailable      = &errorCode{108, "not available", false, "The namespace has no history, no presence or no tags filter, there is no backend to answer an RPC, or the server does not offer this: map and shared poll subscriptions."}
	errTokenExpired      = &errorCode{109, "token expired", false, "The connection or subscription token has expired. The client gets a new one and tries again."}
	errExpired           = &errorCode{110, "expired", false, "What a backend has allowed had expired when it answered."}
	errTooManyRequests   = &errorCode{111, "too many requests", true, "Too many subscribes, publishes or calls of the connection, its user or its App ([limits](limits.md)), or no room: publications come faster than they can be stored, or the disk is full. Nothing was stored and nothing delivered."}
	errUnrecoverable     = &errorCode{112, "unrecoverable position", false, "The position is of another epoch or above the channel's top, or a subscribe that insisted on recovery could not be recovered."}
	errConcurrentPaging  = &errorCode{113, "concurrent pagination", true, "Another page of the same map is being read. Not sent: maps are not offered."}
)

// errorCodes lists them all.
func errorCodes() []*errorCode {
	return []*errorCode{
		errInternal, errUnauthorized, errUnknownChannel, errPermissionDenied, errMethodNotFound,
		errAlreadySubscribed, errLimitExceeded, errBadRequest, errNotAvailable, errTokenExpired,
		errExpired, errTooManyRequests, errUnrecoverable, errConcurrentPaging,
	}
}

// errorTable names the hub's errors in the protocol's terms. What is not in it
// is an internal error, of which nothing but that is told.
var errorTable = []struct {
	err  error
	code *errorCode
}{
	{hub.ErrUnauthorized, errUnauthorized},
	{hub.ErrUnknownChannel, errUnknownChannel},
	{hub.ErrPermissionDenied, errPermissionDenied},
	{hub.ErrNotSubscribed, errPermissionDenied},
	{channel.ErrTokenInvalid, errPermissionDenied},
	{hub.ErrAlreadySubscribed, errAlreadySubscribed},
	{hub.ErrLimitExceeded, errLimitExceeded},
	{hub.ErrBadRequest, errBadRequest},
	{hub.ErrUnknownSession, errBadRequest},
	{hub.ErrNotAvailable, errNotAvailable},
	{hub.ErrTokenExpired, errTokenExpired},
	{channel.ErrTokenExpired, errTokenExpired},
	{hub.ErrTooManyRequests, errTooManyRequests},
	{hub.ErrBusy, errTooManyRequests},
	{hub.ErrReadOnly, errTooManyRequests},
	{hub.ErrQuota, errLimitExceeded},
	{hub.ErrUnrecoverable, errUnrecoverable},
	{hub.ErrShutdown, errInternal},
	{channel.ErrTokenKeys, errInternal}, // temporary: clients try again
	{hub.ErrNoAnswer, errInternal},      // likewise
	{hub.ErrExpired, errExpired},
}

// errorFor names an error; nil: it has no name, and its text belongs into the log.
func errorFor(err error) *errorCode {
	for i := range errorTable {
		if errors.Is(err, errorTable[i].err) {
			return errorTable[i].code
		}
	}
	return nil
}

// backendError is an error in a backend's own words; nil: it is none.
func backendError(err error) *errorCode {
	var said *hub.BackendError
	if !errors.As(err, &said) {
		return nil
	}
	return &errorCode{code: said.Code, message: said.Message, temporary: said.Temporary}
}

// ending is a disconnect or unsubscribe code for docs/codes.md.
type ending struct {
	code    uint32
	reason  string
	meaning string
}

func disconnected(d hub.Disconnect, meaning string) ending { return ending{d.Code, d.Reason, meaning} }

func unsubscribed(u hub.Unsubscribe, meaning string) ending { return ending{u.Code, u.Reason, meaning} }

// disconnectCodes lists why the server ends connections.
func disconnectCodes() []ending {
	return []ending{
		disconnected(hub.DisconnectClosed, "The client or the network closed the connection. Counted, never sent."),
		disconnected(hub.DisconnectShutdown, "The server stops."),
		disconnected(hub.DisconnectServerError, "Something failed in the server; its log says what. Also to a connect that could not bring the token's subscriptions."),
		disconnected(hub.DisconnectExpired, "The connection token expired and no new one came in time, or refresh brought one that has expired."),
		disconnected(hub.DisconnectSubExpired, "sub_refresh brought a token that has expired."),
		disconnected(hub.DisconnectSlow, "The client reads more slowly than messages come, and its outbox is full."),
		disconnected(hub.DisconnectWriteError, "Writing to the connection failed."),
		disconnected(hub.DisconnectInsufficientState, "The server cannot be sure that the client has seen every message; it recovers on return. Sent for subscriptions that the server made."),
		disconnected(hub.DisconnectForceReconnect, "A backend asked for it."),
		disconnected(hub.DisconnectNoPong, "A ping was not answered in time."),
		disconnected(hub.DisconnectTooManyRequests, "The client sends too many bytes in a second, or its App has as many connections as it may have ([limits](limits.md))."),
		disconnected(hub.DisconnectInvalidToken, "The connection token is invalid: the signature, a claim, or, on refresh, another user's."),
		disconnected(hub.DisconnectBadRequest, "The client sent what the protocol does not allow; see what is malformed in the protocol's page."),
		disconnected(hub.DisconnectStale, "No connect command came in time."),
		disconnected(hub.DisconnectForced, "A backend asked for it, and the client is not to come back."),
		disconnected(hub.DisconnectConnectionLimit, "The user has as many connections as a user may have (`limits.connections_per_user`)."),
		disconnected(hub.DisconnectChannelLimit, "A backend subscribed the connection to more channels than it may have."),
		disconnected(hub.DisconnectInappropriate, "The client's encoding cannot carry a message. Not sent yet."),
		disconnected(hub.DisconnectPermissionDenied, "A unidirectional client without a token, where anonymous clients are not allowed or a backend refused it."),
		disconnected(hub.DisconnectNotAvailable, "The server does not offer what the client asked for. Not sent yet."),
		disconnected(hub.DisconnectTooManyErrors, "Too many of the client's commands failed. Not sent yet."),
	}
}

// unsubscribeCodes lists why the server ends subscriptions.
func unsubscribeCodes() []ending {
	return []ending{
		unsubscribed(hub.UnsubscribeServer, "A backend asked for it."),
		unsubscribed(hub.UnsubscribeInsufficientState, "The server cannot be sure that the client has seen every message; it recovers when it subscribes again."),
		unsubscribed(hub.UnsubscribeExpired, "The subscription token expired and no new one came in time."),
	}
}
