package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// MaxGrants bounds the channels and patterns in the claim caps.
const MaxGrants = 256

// capability is one element of the claim caps: Centrifugo's, with deny beside
// allow and prefix beside wildcard.
type capability struct {
	Channels []string `json:"channels"`
	Match    string   `json:"match,omitempty"`
	Allow    []string `json:"allow,omitempty"`
	Deny     []string `json:"deny,omitempty"`
}

// UnmarshalJSON takes no field that is not understood: it may have been meant to
// deny.
func (c *capability) UnmarshalJSON(b []byte) error {
	type plain capability
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(c))
}

type capabilities []capability

// names of operations, as in Centrifugo.
var opNames = []struct {
	name string
	op   channel.Op
}{
	{"sub", channel.Subscribe},
	{"pub", channel.Publish},
	{"prs", channel.Presence},
	{"hst", channel.History},
}

// opsOf reads names of operations; one that is not known is an error.
func opsOf(names []string) (ops channel.Op, err error) {
next:
	for _, name := range names {
		for _, known := range opNames {
			if known.name == name {
				ops |= known.op
				continue next
			}
		}
		return 0, fmt.Errorf("there is no capability %.32q, only sub, pub, prs and hst", name)
	}
	return ops, nil
}

// OpNames are the names of operations in tokens.
func OpNames(ops channel.Op) []string {
	var names []string
	for _, known := range opNames {
		if ops&known.op != 0 {
			names = append(names, known.name)
		}
	}
	return names
}

func matchOf(name string) (channel.Match, error) {
	for _, m := range []channel.Match{channel.Exact, channel.Prefix, channel.Wildcard} {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("match %.32q is not supported, only wildcard, prefix, or none for names", name)
}

// grants turns the claim into rules. An element that neither allows nor denies
// still ends the search for its channels.
func (list capabilities) grants() (g channel.Grants, err error) {
	n := 0
	for _, c := range list {
		m, err := matchOf(c.Match)
		if err != nil {
			return channel.Grants{}, err
		}
		allow, err := opsOf(c.Allow)
		if err != nil {
			return channel.Grants{}, err
		}
		deny, err := opsOf(c.Deny)
		if err != nil {
			return channel.Grants{}, err
		}
		for _, name := range c.Channels {
			if n++; n > MaxGrants {
				return channel.Grants{}, fmt.Errorf("caps names more than %d channels", MaxGrants)
			}
			if name == "" {
				return channel.Grants{}, errors.New("caps names an empty channel")
			}
			if deny != 0 {
				g.Deny = append(g.Deny, channel.Grant{Channel: name, Ops: deny, Match: m})
			}
			if allow != 0 || deny == 0 {
				g.Allow = append(g.Allow, channel.Grant{Channel: name, Ops: allow, Match: m})
			}
		}
	}
	return g, nil
}

// capsOf is the claim for rules.
func capsOf(g channel.Grants) capabilities {
	var list capabilities
	for _, deny := range g.Deny {
		list = append(list, capability{Channels: []string{deny.Channel}, Match: deny.Match.String(), Deny: OpNames(deny.Ops)})
	}
	for _, allow := range g.Allow {
		list = append(list, capability{Channels: []string{allow.Channel}, Match: allow.Match.String(), Allow: OpNames(allow.Ops)})
	}
	return list
}

// ParseCaps reads grants as they stand in the claim caps.
func ParseCaps(text []byte) (channel.Grants, error) {
	var list capabilities
	if err := json.Unmarshal(text, &list); err != nil {
		return channel.Grants{}, fmt.Errorf("caps: %w", err)
	}
	return list.grants()
}

// ParseOps reads operations as they stand in the claim allow.
func ParseOps(names []string) (channel.Op, error) { return opsOf(names) }
