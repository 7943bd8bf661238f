package pusher

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// ErrBadChannel reports a name that no channel of this protocol can have.
var ErrBadChannel = errors.New("channel names are 1 to 164 of the characters A-Z a-z 0-9 _ - = @ , . ;")

// CheckChannel checks a channel's name. A user's channel is named by whatever the
// user's id is.
func CheckChannel(name string) error {
	if channel.KindOf(name).Has(channel.KindUser) {
		if len(name) > channel.MaxNameLength || channel.CheckName(name) != nil {
			return ErrBadChannel
		}
		return nil
	}
	if name == "" || len(name) > MaxChannelName {
		return ErrBadChannel
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte("_-=@,.;", c) < 0 {
			return ErrBadChannel
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// SocketID is a session's id as this protocol writes it: two decimal numbers. ""
// for what is no session's id.
func SocketID(session string) string {
	id, err := uuid.Parse(session)
	if err != nil {
		return ""
	}
	b := strconv.AppendUint(make([]byte, 0, 41), binary.BigEndian.Uint64(id[:8]), 10)
	return string(strconv.AppendUint(append(b, '.'), binary.BigEndian.Uint64(id[8:]), 10))
}

// ErrBadSocketID reports what is no socket id.
var ErrBadSocketID = errors.New("a socket id is two decimal numbers with a dot between them")

// SessionID is the reverse of SocketID. A well-formed socket id that is none of
// this server's gives the id of no session.
func SessionID(socket string) (string, error) {
	high, low, ok := strings.Cut(socket, ".")
	if !ok || !isDecimal(high) || !isDecimal(low) {
		return "", ErrBadSocketID
	}
	var id uuid.UUID
	for i, part := range []string{high, low} {
		n, err := strconv.ParseUint(part, 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			id = uuid.Nil
			break
		}
		binary.BigEndian.PutUint64(id[8*i:], n)
	}
	return id.String(), nil
}

func isDecimal(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
