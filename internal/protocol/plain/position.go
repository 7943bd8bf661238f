package plain

import (
	"errors"
	"strconv"
	"strings"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// place is where a client stands in one channel.
type place struct {
	channel string
	engine.Position
}

var errPosition = errors.New("position: must be what the server sent: NAME:EPOCH:OFFSET, separated by commas")

// parsePositions reads what appendPositions wrote; of a channel that is there
// twice the last counts.
func parsePositions(s string) (map[string]engine.Position, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > MaxPositions {
		return nil, errPosition
	}
	positions := make(map[string]engine.Position)
	for part := range strings.SplitSeq(s, ",") {
		fields := strings.Split(part, ":")
		if len(fields) != 3 {
			return nil, errPosition
		}
		name, nameErr := unescape(fields[0])
		epoch, epochErr := unescape(fields[1])
		offset, offsetErr := strconv.ParseUint(fields[2], 10, 64)
		if errors.Join(nameErr, epochErr, offsetErr) != nil {
			return nil, errPosition
		}
		positions[name] = engine.Position{Epoch: epoch, Offset: offset}
	}
	return positions, nil
}

func appendPositions(b []byte, places []place) []byte {
	for i, p := range places {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPosition(b, p.channel, p.Position)
	}
	return b
}

func appendPosition(b []byte, channel string, p engine.Position) []byte {
	b = append(appendEscaped(b, channel), ':')
	b = append(appendEscaped(b, p.Epoch), ':')
	return strconv.AppendUint(b, p.Offset, 10)
}

// sizeOf is the longest that positions in these channels can become.
func sizeOf(places []place) (n int) {
	const longestOffset = 20
	for _, p := range places {
		n += len(appendEscaped(nil, p.channel)) + len(appendEscaped(nil, p.Epoch)) + longestOffset + len("::,")
	}
	return n
}

const hexDigits = "0123456789ABCDEF"

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; isPlain(c) {
			b = append(b, c)
		} else {
			b = append(b, '~', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isPlain(c):
			b.WriteByte(c)
		case c == '~' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", errPosition
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", errPosition
		}
	}
	return b.String(), nil
}
