package channel

// Verdict is what a backend's hook has said of a request.
type Verdict uint8

// The verdicts.
const (
	Unasked Verdict = iota
	Consented
	Refused
)

// The rules of hooks.
const (
	ruleAsk       = "the backend's hook has to be asked"
	ruleConsented = "allowed by the backend's hook"
	ruleRefused   = "refused by the backend's hook"
)

// Asks reports whether a backend has to be asked before the request is decided;
// until then it is not allowed.
func (d Decision) Asks() bool { return d.Rule == ruleAsk }

// asks reports whether a hook decides on an operation.
func (o *Options) asks(op Op) bool {
	switch op {
	case Subscribe:
		return o.SubscribeProxyEnabled
	case Publish:
		return o.PublishProxyEnabled
	}
	return false
}

// decideHook leaves the decision to the backend where the namespace does. Channels
// whose names say whose they are stay theirs, and a publication passes the hook
// whatever else would allow it: the hook may change it.
func decideHook(r Request) (d Decision, decided bool) {
	if !r.Options.asks(r.Op) {
		return Decision{}, false
	}
	kind := KindOf(r.Channel)
	if r.Op == Subscribe && kind&(KindLimited|KindUser) != 0 {
		return Decision{}, false
	}
	if r.Op == Publish {
		if d, decided = decideKind(r, kind); decided {
			return d, true
		}
	}
	switch r.Verdict {
	case Consented:
		return Decision{true, ruleConsented}, true
	case Refused:
		return Decision{false, ruleRefused}, true
	case Unasked:
	}
	return Decision{false, ruleAsk}, true
}
