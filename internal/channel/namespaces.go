package channel

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrUnknownNamespace reports a channel whose namespace nobody defined.
var ErrUnknownNamespace = errors.New("unknown namespace")

// Namespace is a prefix of channel names and its options.
type Namespace struct {
	Name     string   `koanf:"name" json:"name"`
	Prefixes []string `koanf:"prefixes" json:"prefixes"` // names without ":" that begin with one of these belong to the namespace, too; the longest that matches decides
	Options  `koanf:",squash"`
}

// MaxPrefixLength is the longest prefix in bytes.
const MaxPrefixLength = 64

// AnyNamespace is the name of the namespace that stands for every one that is not
// defined.
const AnyNamespace = "*"

var namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,64}$`)

// Namespaces resolves a channel name to its options. It never changes after
// NewNamespaces; a new set replaces the whole value.
type Namespaces struct {
	byName   map[string]*resolved
	prefixes []prefix // the longest first
}

// resolved holds a namespace's options for each Kind that changes them.
type resolved struct {
	options map[Kind]*Options
	regex   *regexp.Regexp
}

type prefix struct {
	text string
	of   *resolved
}

// NewNamespaces checks everything once: names are unique and 2 to 64 characters
// of [-a-zA-Z0-9_.], or AnyNamespace. without holds for channels without a namespace.
func NewNamespaces(without Options, list []Namespace) (*Namespaces, error) {
	n := &Namespaces{byName: make(map[string]*resolved, len(list)+1)}
	if err := n.add("", without); err != nil {
		return nil, fmt.Errorf("without_namespace: %w", err)
	}
	for _, ns := range list {
		if ns.Name != AnyNamespace && !namespaceName.MatchString(ns.Name) {
			return nil, fmt.Errorf("namespace %q: the name must match %s", ns.Name, namespaceName)
		}
		if n.byName[ns.Name] != nil {
			return nil, fmt.Errorf("namespace %q: defined twice", ns.Name)
		}
		if err := n.add(ns.Name, ns.Options); err != nil {
			return nil, fmt.Errorf("namespace %q: %w", ns.Name, err)
		}
		if err := n.addPrefixes(ns); err != nil {
			return nil, fmt.Errorf("namespace %q: %w", ns.Name, err)
		}
	}
	slices.SortStableFunc(n.prefixes, func(a, b prefix) int { return cmp.Compare(len(b.text), len(a.text)) })
	return n, nil
}

func (n *Namespaces) addPrefixes(ns Namespace) error {
	for _, text := range ns.Prefixes {
		switch {
		case ns.Name == AnyNamespace:
			return fmt.Errorf("prefixes: a namespace that stands for others has none")
		case CheckName(text) != nil || len(text) > MaxPrefixLength || strings.ContainsAny(text, ":$#"):
			return fmt.Errorf("prefixes: %q is none: 1 to %d bytes without any of : $ #", text, MaxPrefixLength)
		case slices.ContainsFunc(n.prefixes, func(p prefix) bool { return p.text == text }):
			return fmt.Errorf("prefixes: %q is given twice", text)
		}
		n.prefixes = append(n.prefixes, prefix{text, n.byName[ns.Name]})
	}
	return nil
}

func (n *Namespaces) add(name string, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	r := &resolved{options: make(map[Kind]*Options, kindOptions)}
	for _, k := range []Kind{0, KindPresence, KindCache, KindPresence | KindCache} {
		r.options[k] = o.of(k)
	}
	if o.ChannelRegex != "" {
		r.regex = regexp.MustCompile(o.ChannelRegex)
	}
	n.byName[name] = r
	return nil
}

// Resolve finds the options of a channel. Errors: ErrBadName (also for a name
// that the namespace's channel_regex refuses), ErrUnknownNamespace. The result
// is shared and must not be changed.
func (n *Namespaces) Resolve(name string) (*Options, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	r := n.find(name)
	if r == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownNamespace, NamespaceOf(name))
	}
	if r.regex != nil && !r.regex.MatchString(restOf(name)) {
		return nil, fmt.Errorf("%w: channel_regex of the namespace refuses it", ErrBadName)
	}
	return r.options[KindOf(name)&kindOptions], nil
}

// find is the namespace of a name; nil: there is none.
func (n *Namespaces) find(name string) *resolved {
	ns := NamespaceOf(name)
	if ns == "" && len(n.prefixes) > 0 && !hasColon(name) {
		bare := strings.TrimPrefix(name, PrivatePrefix)
		for _, p := range n.prefixes {
			if strings.HasPrefix(bare, p.text) {
				return p.of
			}
		}
	}
	if r := n.byName[ns]; r != nil {
		return r
	}
	return n.byName[AnyNamespace]
}

// hasColon reports whether a colon of the name separates a namespace.
func hasColon(name string) bool { return KindOf(name) != KindUser && strings.Contains(name, ":") }

// restOf is the name without private prefix and namespace.
func restOf(name string) string {
	ns := NamespaceOf(name)
	if IsPrivate(name) {
		name = name[len(PrivatePrefix):]
	}
	if ns != "" || len(name) > 0 && name[0] == ':' {
		return name[len(ns)+1:]
	}
	return name
}
