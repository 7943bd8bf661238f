package channel

import (
	"errors"
	"fmt"
	"regexp"
)

// ErrUnknownNamespace reports a channel whose namespace nobody defined.
var ErrUnknownNamespace = errors.New("unknown namespace")

// Namespace is a prefix of channel names and its options.
type Namespace struct {
	Name    string `koanf:"name" json:"name"`
	Options `koanf:",squash"`
}

// AnyNamespace is the name of the namespace that stands for every one that is not
// defined.
const AnyNamespace = "*"

var namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,64}$`)

// Namespaces resolves a channel name to its options. It never changes after
// NewNamespaces; a new set replaces the whole value.
type Namespaces struct {
	byName map[string]*resolved
}

type resolved struct {
	options Options
	regex   *regexp.Regexp
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
	}
	return n, nil
}

func (n *Namespaces) add(name string, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	r := &resolved{options: o}
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
	ns := NamespaceOf(name)
	r := n.byName[ns]
	if r == nil {
		r = n.byName[AnyNamespace]
	}
	if r == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownNamespace, ns)
	}
	if r.regex != nil && !r.regex.MatchString(restOf(name)) {
		return nil, fmt.Errorf("%w: channel_regex of the namespace refuses it", ErrBadName)
	}
	return &r.options, nil
}

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
