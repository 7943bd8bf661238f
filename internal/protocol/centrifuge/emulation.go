package centrifuge

import (
	"encoding/json"
	"errors"

	"github.com/centrifugal/protocol"
)

// Emulated is what a client of an emulated session says in a request of its own:
// Data is a frame like those of a WebSocket.
type Emulated struct {
	Session, Node string
	Data          []byte
}

// ids are those of the latest commands. What is on the way between a client and
// /emulation may send a request twice; its commands are done once.
type ids struct {
	latest [64]uint32
	next   int
}

// again reports whether a command has been heard, and keeps its id; 0 is none.
func (h *ids) again(id uint32) bool {
	if id == 0 {
		return false
	}
	for _, known := range h.latest {
		if known == id {
			return true
		}
	}
	h.latest[h.next] = id
	h.next = (h.next + 1) % len(h.latest)
	return false
}

var errEmulation = errors.New("the body must be an emulation request with session, node and data")

// DecodeEmulationJSON reads a request whose data is a string that holds commands
// in JSON.
func DecodeEmulationJSON(body []byte) (Emulated, error) {
	var r struct {
		Session string  `json:"session"`
		Node    string  `json:"node"`
		Data    *string `json:"data"`
	}
	if err := json.Unmarshal(body, &r); err != nil || r.Session == "" || r.Data == nil {
		return Emulated{}, errEmulation
	}
	return Emulated{Session: r.Session, Node: r.Node, Data: []byte(*r.Data)}, nil
}

// DecodeEmulationProtobuf reads a request whose data holds commands in Protobuf.
func DecodeEmulationProtobuf(body []byte) (Emulated, error) {
	var r protocol.EmulationRequest
	if err := r.UnmarshalCF(body); err != nil || r.Session == "" {
		return Emulated{}, errEmulation
	}
	return Emulated{Session: r.Session, Node: r.Node, Data: r.Data}, nil
}
