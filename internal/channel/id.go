package channel

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultApp is the App that always exists.
const DefaultApp = "default"

// MaxNameLength is the longest channel name in bytes. Centrifugo's default.
const MaxNameLength = 255

// ID identifies a channel: names of different Apps never meet.
type ID struct {
	App  string
	Name string
}

// String is for logs and errors only.
func (id ID) String() string { return id.App + "/" + id.Name }

// ErrBadName reports a name outside the grammar.
var ErrBadName = errors.New("bad channel name")

// CheckName reports why name cannot be a channel's: it is empty, longer than
// MaxNameLength bytes, not UTF-8, or holds a control character.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrBadName)
	case len(name) > MaxNameLength:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrBadName, len(name), MaxNameLength)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrBadName)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%w: control character %U", ErrBadName, r)
		}
	}
	return nil
}

// NamespaceOf is what stands before the first ":" of a name ("" without one).
// A leading "$" (private) is no part of the namespace. A user's channel is in
// none, whatever the user is called.
func NamespaceOf(name string) string {
	if KindOf(name) == KindUser {
		return ""
	}
	ns, _, found := strings.Cut(strings.TrimPrefix(name, PrivatePrefix), ":")
	if !found {
		return ""
	}
	return ns
}

// PrivatePrefix marks channels that need a subscription token, whatever the
// namespace allows (as in Centrifugo).
const PrivatePrefix = "$"

// IsPrivate reports whether name needs a subscription token.
func IsPrivate(name string) bool { return strings.HasPrefix(name, PrivatePrefix) }
