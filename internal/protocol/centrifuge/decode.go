package centrifuge

import (
	"bytes"
	"errors"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"
)

// Reasons for which a command is malformed, for the log.
var (
	errNotObject     = errors.New("not a JSON object")
	errNothing       = errors.New("an empty frame")
	errTooDeep       = errors.New("nested too deep")
	errNoMethod      = errors.New("no method")
	errManyMethods   = errors.New("several methods")
	errNoID          = errors.New("no id")
	errTooMany       = errors.New("too many commands in a frame")
	errNotConnected  = errors.New("command before connect")
	errConnectFailed = errors.New("command after a failed connect")
	errSecondConnect = errors.New("second connect")
	errUnaskedPong   = errors.New("pong without a ping")
	errNoChannel     = errors.New("no channel")
	errNoToken       = errors.New("no token")
	errHeldFull      = errors.New("too much sent before the connect reply")
)

// decode reads one line into cmd and names its method; "" is a pong. What is
// decoded is a copy: line may change afterwards.
func decode(line []byte, maxDepth int, cmd *protocol.Command) (method string, err error) {
	start := cfjson.SkipSpace(line, 0)
	if start == len(line) || line[start] != '{' { // the decoder takes null for an empty object
		return "", errNotObject
	}
	if tooDeep(line, maxDepth) {
		return "", errTooDeep
	}
	end := cmd.DecodeJSON(line, start, cfjson.Prescan(line, 0))
	if end < 0 {
		return "", cfjson.Error(line, end)
	}
	if cfjson.SkipSpace(line, end) != len(line) {
		return "", cfjson.ErrTrailingData
	}
	return requestOf(cmd)
}

// requestOf names the one request of a command; "" is a pong.
func requestOf(cmd *protocol.Command) (method string, err error) {
	method, n := methodOf(cmd)
	switch {
	case n > 1:
		return "", errManyMethods
	case n == 0 && cmd.Id == 0:
		return "", nil
	case n == 0:
		return "", errNoMethod
	case cmd.Id == 0 && method != methodSend:
		return "", errNoID
	}
	return method, nil
}

// methodOf names the request of a command and counts them.
func methodOf(cmd *protocol.Command) (method string, n int) {
	for _, m := range [...]struct {
		name string
		set  bool
	}{
		{methodPublish, cmd.Publish != nil},
		{methodSubscribe, cmd.Subscribe != nil},
		{methodUnsubscribe, cmd.Unsubscribe != nil},
		{methodConnect, cmd.Connect != nil},
		{methodHistory, cmd.History != nil},
		{methodPresence, cmd.Presence != nil},
		{methodPresenceStats, cmd.PresenceStats != nil},
		{methodRefresh, cmd.Refresh != nil},
		{methodSubRefresh, cmd.SubRefresh != nil},
		{methodRPC, cmd.Rpc != nil},
		{methodSend, cmd.Send != nil},
		{methodPing, cmd.Ping != nil},
	} {
		if m.set {
			method = m.name
			n++
		}
	}
	return method, n
}

// tooDeep reports whether objects and arrays nest deeper than limit. Few
// commands hold so many brackets that it needs a look at each byte. What it says
// of malformed JSON does not matter: that is refused either way.
func tooDeep(line []byte, limit int) bool {
	if bytes.Count(line, []byte{'{'})+bytes.Count(line, []byte{'['}) <= limit {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			i++
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// oneLine takes line breaks out of JSON, where they can only stand between
// tokens: on the wire a line is a message. data changes in place.
func oneLine(data []byte) []byte {
	if bytes.IndexByte(data, '\r') < 0 && bytes.IndexByte(data, '\n') < 0 {
		return data
	}
	kept := data[:0]
	for _, c := range data {
		if c != '\r' && c != '\n' {
			kept = append(kept, c)
		}
	}
	return kept
}
