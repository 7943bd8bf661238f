package plain

import (
	"errors"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// errorTable names the hub's errors by the codes of the Centrifuge protocol. What
// is not in it is an internal error, of which nothing but that is told.
var errorTable = []struct {
	err     error
	code    uint32
	message string
}{
	{hub.ErrUnauthorized, 101, "unauthorized: a token is needed"},
	{channel.ErrTokenInvalid, 3500, "invalid token"},
	{channel.ErrTokenExpired, 109, "token expired"},
	{hub.ErrUnknownChannel, 102, "unknown channel"},
	{hub.ErrPermissionDenied, 103, "permission denied"},
	{hub.ErrLimitExceeded, 106, "limit exceeded: too many channels"},
	{hub.ErrAlreadySubscribed, 107, "subscribed already"},
	{hub.ErrBadRequest, 107, "bad request: no channel can have this name"},
	{hub.ErrBusy, 111, "too many requests"},
	{hub.ErrExpired, 109, "expired"},
	{hub.ErrTooManyRequests, 111, "too many requests"},
}

// refusal is why a request gets no session. channel is "" when it is about none.
func refusal(err error, name string) hub.Disconnect {
	d := hub.Disconnect{Code: 100, Reason: "internal server error"}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			d = hub.Disconnect{Code: row.code, Reason: row.message}
			break
		}
	}
	var said *hub.BackendError
	if errors.As(err, &said) && !said.Temporary {
		d = hub.Disconnect{Code: said.Code, Reason: cut(said.Message)}
	}
	if name != "" {
		d.Reason += ": " + name
	}
	return d
}

// maxSaid bounds what of a backend's message fits a reason beside a channel, in bytes.
const maxSaid = 64

func cut(text string) string {
	for len(text) > maxSaid || !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text
}

var noChannels = hub.Disconnect{Code: 107, Reason: "channel: name one at least, as in ?channel=news"}

var tooManyPositions = hub.Disconnect{Code: 106, Reason: "limit exceeded: the positions of so many channels would be too long"}
