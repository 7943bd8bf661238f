package channel

// Override is what a backend sets for one subscription in place of the namespace's
// options. The zero value changes nothing. Names and meanings are Centrifugo's
// (SubscribeOptionOverride).
type Override struct {
	Presence           Choice
	JoinLeave          Choice
	ForceRecovery      Choice
	ForcePositioning   Choice
	ForcePushJoinLeave Choice
}

// Choice is a bool that may be left open.
type Choice uint8

// The choices. The zero value leaves it to the namespace.
const (
	Inherit Choice = iota
	Off
	On
)

// ChoiceOf makes a Choice of a bool.
func ChoiceOf(on bool) Choice {
	if on {
		return On
	}
	return Off
}

func (c Choice) of(inherited bool) bool {
	if c == Inherit {
		return inherited
	}
	return c == On
}

// Over is o as it holds for one subscription to a channel. It grants nothing, and
// breaks no promise that the namespace makes: a presence channel keeps its presence,
// and where slow subscribers lose messages nobody is told that he would not.
func (v Override) Over(o Options, name string) Options {
	if !KindOf(name).Has(KindPresence) {
		o.Presence, o.JoinLeave = v.Presence.of(o.Presence), v.JoinLeave.of(o.JoinLeave)
	}
	o.ForcePushJoinLeave = v.ForcePushJoinLeave.of(o.ForcePushJoinLeave)
	if !o.MayLose() {
		o.ForcePositioning = v.ForcePositioning.of(o.ForcePositioning)
	}
	if !o.MayLose() || o.RecoveryMode() == RecoverCache {
		o.ForceRecovery = v.ForceRecovery.of(o.ForceRecovery)
	}
	return o
}
