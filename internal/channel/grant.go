package channel

import "strings"

// Match says how a Grant names channels.
type Match uint8

// The ways to name channels.
const (
	Exact    Match = iota // the name itself
	Prefix                // every name that begins so
	Wildcard              // * stands for any run of characters, also an empty one
)

// String is the way as it is called in tokens; "" is Exact.
func (m Match) String() string {
	switch m {
	case Prefix:
		return "prefix"
	case Wildcard:
		return "wildcard"
	case Exact:
	}
	return ""
}

// Grant allows or denies operations on the channels that it names.
type Grant struct {
	Channel string // a name or pattern, as Match says
	Ops     Op
	Match   Match
}

// Grants are what an Identity brings along, beyond its namespace's flags. Deny
// is asked first, all of it; of Allow the first that names the channel decides,
// as in Centrifugo.
type Grants struct {
	Deny  []Grant
	Allow []Grant
}

// denies reports whether any of the denials is about op on a channel.
func (g *Grants) denies(name string, op Op) bool {
	for i := range g.Deny {
		if g.Deny[i].Ops&op != 0 && g.Deny[i].names(name) {
			return true
		}
	}
	return false
}

// allows asks the first grant that names a channel.
func (g *Grants) allows(name string, op Op) bool {
	for i := range g.Allow {
		if grant := &g.Allow[i]; grant.names(name) && grant.reaches(name) {
			return grant.Ops&op != 0
		}
	}
	return false
}

// names reports whether the grant is about a channel.
func (g *Grant) names(name string) bool {
	switch g.Match {
	case Exact:
		return g.Channel == name
	case Prefix:
		return strings.HasPrefix(name, g.Channel)
	case Wildcard:
		return glob(g.Channel, name)
	}
	return false
}

// reaches keeps a pattern out of channels that belong to users: one that is
// meant for them has the # that they have. A denial needs none.
func (g *Grant) reaches(name string) bool {
	return g.Match == Exact || !strings.Contains(name, userBoundary) || strings.Contains(g.Channel, userBoundary)
}

// glob matches a whole name. The time it takes is bounded by the product of the
// lengths, whatever the pattern.
func glob(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, begins := strings.CutPrefix(name, first)
	if !begins {
		return false
	}
	for {
		piece, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, piece)
		}
		at := strings.Index(name, piece)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(piece):], after
	}
}
