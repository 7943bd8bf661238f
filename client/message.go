package client

import "encoding/json"

// The Centrifuge protocol in JSON, as much of it as a Subscriber speaks. A frame
// is one or several objects, a line each; {} is a ping, and the answer to it.

// command is what the client sends.
type command struct {
	ID        int               `json:"id"`
	Connect   *connectCommand   `json:"connect,omitempty"`
	Subscribe *subscribeCommand `json:"subscribe,omitempty"`
}

type connectCommand struct {
	Token string `json:"token,omitempty"`
	Name  string `json:"name,omitempty"`
}

type subscribeCommand struct {
	Channel     string `json:"channel"`
	Token       string `json:"token,omitempty"`
	Positioned  bool   `json:"positioned,omitempty"`
	Recoverable bool   `json:"recoverable,omitempty"`
	Recover     bool   `json:"recover,omitempty"`
	Epoch       string `json:"epoch,omitempty"`
	Offset      uint64 `json:"offset,omitempty"`
}

// incoming is what the server sends: a reply to the command with ID, or a push.
type incoming struct {
	ID        int             `json:"id"`
	Error     *apiError       `json:"error"`
	Connect   *connectReply   `json:"connect"`
	Subscribe *subscribeReply `json:"subscribe"`
	Push      *push           `json:"push"`
}

type connectReply struct {
	Ping int  `json:"ping"` // seconds; 0: never
	Pong bool `json:"pong"` // the server waits for answers
}

type subscribeReply struct {
	Recoverable  bool          `json:"recoverable"`
	Recovered    bool          `json:"recovered"`
	Epoch        string        `json:"epoch"`
	Offset       uint64        `json:"offset"`
	Publications []Publication `json:"publications"`
}

type push struct {
	Channel     string           `json:"channel"`
	Pub         *Publication     `json:"pub"`
	Unsubscribe *unsubscribePush `json:"unsubscribe"`
	Disconnect  *disconnectPush  `json:"disconnect"`
}

type unsubscribePush struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

type disconnectPush struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// disconnected is the error of a connection that the server ended: codes 3500 to
// 3999 and 4500 to 4999 are final.
func disconnected(code int, reason string) *Error {
	again := code < 3500 || code >= 4000 && code < 4500 || code >= 5000
	return &Error{Code: code, Message: "disconnected: " + reason, Temporary: again}
}

// parseMessage reads one line of a frame; unknown fields are for newer clients.
func parseMessage(line []byte) (*incoming, error) {
	m := new(incoming)
	return m, json.Unmarshal(line, m)
}
