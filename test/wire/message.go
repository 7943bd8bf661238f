package wire

import "encoding/json"

// Message is what the server sends: a reply to the command with ID, or a push.
type Message struct {
	ID        uint32          `json:"id"`
	Error     *Error          `json:"error"`
	Connect   *Connected      `json:"connect"`
	Subscribe *Subscribed     `json:"subscribe"`
	Publish   json.RawMessage `json:"publish"`
	Push      *Push           `json:"push"`
	Raw       json.RawMessage `json:"-"` // the message as it came
}

// Error is the error of a reply.
type Error struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
}

// Connected is the reply to connect.
type Connected struct {
	Client string `json:"client"`
	Ping   int    `json:"ping"` // seconds
	Pong   bool   `json:"pong"`
	// Session and Node name the session to /emulation, over HTTP streams and SSE.
	Session string `json:"session"`
	Node    string `json:"node"`
}

// Subscribed is the reply to subscribe.
type Subscribed struct {
	Recoverable   bool          `json:"recoverable"`
	Recovered     bool          `json:"recovered"`
	WasRecovering bool          `json:"was_recovering"`
	Epoch         string        `json:"epoch"`
	Offset        uint64        `json:"offset"`
	Publications  []Publication `json:"publications"`
}

// Push is what the server sends unasked.
type Push struct {
	Channel     string       `json:"channel"`
	Pub         *Publication `json:"pub"`
	Unsubscribe *struct {
		Code   uint32 `json:"code"`
		Reason string `json:"reason"`
	} `json:"unsubscribe"`
}

// Publication is one message of a channel.
type Publication struct {
	Offset uint64          `json:"offset"`
	Data   json.RawMessage `json:"data"`
}
