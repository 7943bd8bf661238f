package centrifuge

import (
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// A client may choose the publications of a subscription by their tags
// (SubscribeRequest.tf). The expression is checked once and then asked for each
// publication.

// Limits of one filter; beyond them: error 107.
const (
	maxFilterDepth = 16
	maxFilterNodes = 128
	maxFilterVals  = 1024 // of all nodes together
	maxNumber      = 64   // bytes of a number that is compared; a longer one is none
)

var errFilter = errors.New("malformed filter")

// predicate is a compiled filter.
type predicate func(*engine.Publication) bool

// compileFilter checks a filter; nil: there is none.
func compileFilter(node *protocol.FilterNode) (predicate, error) {
	if node == nil {
		return nil, nil
	}
	c := filterCompiler{}
	p := c.node(node, 1)
	if c.failed || c.nodes > maxFilterNodes || c.vals > maxFilterVals {
		return nil, errFilter
	}
	return p, nil
}

type filterCompiler struct {
	nodes, vals int
	failed      bool
}

func (c *filterCompiler) node(n *protocol.FilterNode, depth int) predicate {
	if n == nil || depth > maxFilterDepth || c.nodes > maxFilterNodes {
		c.failed = true
		return nil
	}
	c.nodes++
	c.vals += len(n.Vals)
	if n.Op == "" {
		p := leaf(n)
		c.failed = c.failed || p == nil
		return p
	}
	children := make([]predicate, len(n.Nodes))
	for i, child := range n.Nodes {
		children[i] = c.node(child, depth+1)
	}
	switch {
	case n.Op == "and" && len(children) > 0:
		return func(pub *engine.Publication) bool {
			return !slices.ContainsFunc(children, func(p predicate) bool { return !p(pub) })
		}
	case n.Op == "or" && len(children) > 0:
		return func(pub *engine.Publication) bool {
			return slices.ContainsFunc(children, func(p predicate) bool { return p(pub) })
		}
	case n.Op == "not" && len(children) == 1:
		return func(pub *engine.Publication) bool { return !children[0](pub) }
	}
	c.failed = true
	return nil
}

// leaf is a comparison of one tag; nil: it is malformed.
func leaf(n *protocol.FilterNode) predicate {
	key, vals := n.Key, n.Vals
	switch n.Cmp {
	case "ex":
		return func(pub *engine.Publication) bool { _, ok := tagOf(pub, key); return ok }
	case "nex":
		return func(pub *engine.Publication) bool { _, ok := tagOf(pub, key); return !ok }
	}
	if key == "" {
		return nil
	}
	switch n.Cmp {
	case "in", "nin":
		if len(vals) == 0 {
			return nil
		}
		want := n.Cmp == "in"
		return func(pub *engine.Publication) bool {
			tag, _ := tagOf(pub, key)
			return slices.Contains(vals, tag) == want
		}
	}
	if n.Val == "" {
		return nil
	}
	if n.Cmp == "neq" {
		return func(pub *engine.Publication) bool { tag, ok := tagOf(pub, key); return !ok || tag != n.Val }
	}
	compare := textComparison(n.Cmp, n.Val)
	if compare == nil {
		compare = numberComparison(n.Cmp, n.Val)
	}
	if compare == nil {
		return nil
	}
	return func(pub *engine.Publication) bool { tag, ok := tagOf(pub, key); return ok && compare(tag) }
}

func textComparison(cmp, val string) func(tag string) bool {
	switch cmp {
	case "eq":
		return func(tag string) bool { return tag == val }
	case "sw":
		return func(tag string) bool { return strings.HasPrefix(tag, val) }
	case "ew":
		return func(tag string) bool { return strings.HasSuffix(tag, val) }
	case "ct":
		return func(tag string) bool { return strings.Contains(tag, val) }
	}
	return nil
}

// numberComparison compares decimal numbers exactly; what is none never matches.
func numberComparison(cmp, val string) func(tag string) bool {
	var holds func(order int) bool
	switch cmp {
	case "lt":
		holds = func(order int) bool { return order < 0 }
	case "lte":
		holds = func(order int) bool { return order <= 0 }
	case "gt":
		holds = func(order int) bool { return order > 0 }
	case "gte":
		holds = func(order int) bool { return order >= 0 }
	default:
		return nil
	}
	limit, ok := decimal(val)
	return func(tag string) bool {
		if !ok {
			return false
		}
		number, isNumber := decimal(tag)
		return isNumber && holds(number.Cmp(limit))
	}
}

// decimal reads a sign, digits and a fraction. Exponents are not taken: a short
// one could stand for a number that fills the memory.
func decimal(s string) (*big.Rat, bool) {
	if len(s) > maxNumber || strings.Trim(s, "+-.0123456789") != "" || strings.ContainsAny(strings.TrimLeft(s, "+-"), "+-") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// tagOf is a tag as the client is shown it: an event's name is one.
func tagOf(pub *engine.Publication, key string) (string, bool) {
	if key == eventTag && pub.Event != "" {
		return pub.Event, true
	}
	tag, ok := pub.Tags[key]
	return tag, ok
}
