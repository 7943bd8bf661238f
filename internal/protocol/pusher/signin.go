package pusher

import (
	"encoding/json"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// signin is the data of pusher:signin.
type signin struct {
	Auth     string `json:"auth"`
	UserData string `json:"user_data"`
}

// signin takes the user that the client's backend vouches for.
func (c *client) signin(data json.RawMessage) {
	var r signin
	var u user
	switch {
	case decodeData(data, &r) != nil:
		c.notSignedIn("pusher:signin needs data with auth and user_data")
	case !c.authorized(r.Auth, c.socket+"::user::"+r.UserData):
		c.notSignedIn("the signature is not that of this socket id and user_data")
	case len(r.UserData) > MaxUserData || json.Unmarshal([]byte(r.UserData), &u) != nil || !u.ID.valid():
		c.notSignedIn("user_data must be JSON with an id of 1 to 128 bytes, and 16 KiB at most")
	case c.s.SignIn(string(u.ID), info(u.UserInfo)) != nil:
		c.notSignedIn("another user has signed in on this connection")
	default:
		c.signedIn(&r, &u)
	}
}

func (c *client) notSignedIn(why string) {
	c.s.Send(appendError(nil, CodeUnauthorized, why))
	c.p.cfg.Count(methodSignin, CodeUnauthorized)
	c.s.Disconnect(hub.Disconnect{Code: CodeUnauthorized, Reason: "sign-in refused"})
}

func (c *client) signedIn(r *signin, u *user) {
	c.signed = &signed{string(u.ID), info(u.UserInfo)}
	answer := appendQuoted([]byte(`{"user_data":`), r.UserData)
	c.s.Send(appendObject(nil, eventSigninSuccess, append(answer, '}')))
	c.p.cfg.Count(methodSignin, 0)
	if len(u.Watchlist) > MaxWatchlist {
		c.fail(methodSignin, CodeWatchlist, CodeWatchlist, "a watchlist has 100 users at most")
		return
	}
	c.watch(u.Watchlist)
}

// watch tells who of the list is online, and from then on who comes and goes.
func (c *client) watch(list []id) {
	users := make([]string, 0, len(list))
	for _, u := range list {
		if u.valid() {
			users = append(users, string(u))
		}
	}
	if len(users) == 0 {
		return
	}
	c.s.Watch(users, func(online []string) {
		if len(online) > 0 {
			c.s.Send(appendWatchlist(nil, "online", online))
		}
	})
}
