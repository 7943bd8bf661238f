package centrifuge

import (
	"testing"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
)

type node = protocol.FilterNode

func TestFilter(t *testing.T) {
	pub := &engine.Publication{Event: "said", Tags: map[string]string{
		"lang": "de-AT", "size": "10.50", "empty": "", "big": "9007199254740993", "word": "ten", "event": "hidden",
	}}
	is := func(cmp, key, val string) *node { return &node{Cmp: cmp, Key: key, Val: val} }
	in := func(cmp, key string, vals ...string) *node { return &node{Cmp: cmp, Key: key, Vals: vals} }
	of := func(op string, nodes ...*node) *node { return &node{Op: op, Nodes: nodes} }
	yes, no := is("ex", "lang", ""), is("ex", "none", "")
	for _, tt := range []struct {
		name string
		node *node
		want bool
	}{
		{"eq", is("eq", "lang", "de-AT"), true},
		{"eq another", is("eq", "lang", "de"), false},
		{"eq of a missing tag", is("eq", "none", "x"), false},
		{"neq", is("neq", "lang", "de"), true},
		{"neq the same", is("neq", "lang", "de-AT"), false},
		{"neq of a missing tag", is("neq", "none", "x"), true},
		{"in", in("in", "lang", "en", "de-AT"), true},
		{"in others", in("in", "lang", "en"), false},
		{"a missing tag is empty, in", in("in", "none", ""), true},
		{"nin", in("nin", "lang", "en"), true},
		{"a missing tag is empty, nin", in("nin", "none", ""), false},
		{"ex", is("ex", "empty", ""), true},
		{"ex of a missing tag", is("ex", "none", ""), false},
		{"nex", is("nex", "none", ""), true},
		{"sw", is("sw", "lang", "de"), true},
		{"ew", is("ew", "lang", "AT"), true},
		{"ct", is("ct", "lang", "-"), true},
		{"ct something else", is("ct", "lang", "_"), false},
		{"sw of a missing tag", is("sw", "none", "x"), false},
		{"gt", is("gt", "size", "9"), true},
		{"gte the same number", is("gte", "size", "10.5"), true},
		{"lt", is("lt", "size", "+11"), true},
		{"lte", is("lte", "size", "-11"), false},
		{"numbers beyond a float's", is("gt", "big", "9007199254740992"), true},
		{"a word is no number", is("gt", "word", "1"), false},
		{"more than a word", is("lt", "size", "ten"), false},
		{"an exponent is no number", is("lt", "size", "1e9"), false},
		{"a missing number", is("lt", "none", "1"), false},
		{"the event's name", is("eq", "event", "said"), true},
		{"and", of("and", yes, yes), true},
		{"and not all", of("and", yes, no), false},
		{"or", of("or", no, yes), true},
		{"or none", of("or", no, no), false},
		{"not", of("not", no), true},
		{"deep", of("not", of("and", yes, of("or", no, of("not", yes)))), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := compileFilter(tt.node)
			if err != nil {
				t.Fatal(err)
			}
			if got := p(pub); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestMalformedFilters(t *testing.T) {
	leaf := &node{Cmp: "ex", Key: "k"}
	deep, wide := leaf, &node{Op: "or"}
	for range maxFilterDepth {
		deep = &node{Op: "not", Nodes: []*node{deep}}
	}
	for range maxFilterNodes {
		wide.Nodes = append(wide.Nodes, leaf)
	}
	for name, n := range map[string]*node{
		"nothing": {}, "unknown comparison": {Cmp: "like", Key: "k", Val: "v"}, "unknown operator": {Op: "xor", Nodes: []*node{leaf}},
		"no key": {Cmp: "eq", Val: "v"}, "no value": {Cmp: "eq", Key: "k"}, "no values": {Cmp: "in", Key: "k"},
		"and nothing": {Op: "and"}, "not nothing": {Op: "not"}, "not two": {Op: "not", Nodes: []*node{leaf, leaf}},
		"a hole": {Op: "and", Nodes: []*node{nil}}, "too deep": deep, "too wide": wide,
		"too many values": {Cmp: "in", Key: "k", Vals: make([]string, maxFilterVals+1)},
	} {
		if _, err := compileFilter(n); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if p, err := compileFilter(nil); p != nil || err != nil {
		t.Error("no filter is one")
	}
}

// FuzzFilter: whatever a client asks for is refused, or answers.
func FuzzFilter(f *testing.F) {
	f.Add([]byte(`{"op":"and","nodes":[{"key":"a","cmp":"gt","val":"1"},{"op":"not","nodes":[{"key":"b","cmp":"in","vals":["x"]}]}]}`), "12")
	f.Fuzz(func(_ *testing.T, expression []byte, tag string) {
		n := &node{}
		if n.DecodeJSON(expression, 0, 0) < 0 {
			return
		}
		if p, err := compileFilter(n); err == nil {
			p(&engine.Publication{Tags: map[string]string{"a": tag, "b": tag}})
		}
	})
}
