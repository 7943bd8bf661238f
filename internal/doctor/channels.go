package doctor

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
)

// eachNamespace calls fn for the options of every namespace. name is "" for
// channels without one; setting is how the documentation calls what holds them.
func eachNamespace(c *config.Config, fn func(setting, name string, o *channel.Options)) {
	fn("channel.without_namespace", "", &c.Channel.WithoutNamespace)
	for i := range c.Channel.Namespaces {
		n := &c.Channel.Namespaces[i]
		fn(fmt.Sprintf("channel.namespaces[%s]", n.Name), n.Name, &n.Options)
	}
	for i := range c.Apps {
		t := &c.Apps[i]
		at := fmt.Sprintf("apps[%s]", t.Name)
		fn(at+".without_namespace", "", &t.WithoutNamespace)
		for j := range t.Namespaces {
			n := &t.Namespaces[j]
			fn(fmt.Sprintf("%s.namespaces[%s]", at, n.Name), n.Name, &n.Options)
		}
	}
}

// anybody reports whether clients without a token may connect to an App.
func anybody(c *config.Config) bool {
	return c.Client.AllowAnonymous || slices.ContainsFunc(c.Apps, func(t config.Tenant) bool { return t.AllowAnonymous })
}

func anonymousClients(c *config.Config, add report) {
	if c.Client.AllowAnonymous {
		add(Warning, "client.allow_anonymous", "everybody may connect: a limit by user does not hold them", "leave it off, or open to them only what the public may see")
	}
}

func anonymousPublish(c *config.Config, add report) {
	if !anybody(c) {
		return
	}
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		if o.AllowPublishForAnonymous && (o.AllowPublishForClient || o.AllowPublishForSubscriber) {
			add(Error, setting+".allow_publish_for_anonymous", "everybody on the network can send anything to everybody who listens", "let clients with a token publish, or your backend")
		}
	})
}

// nobodySubscribes looks at namespaces alone: tokens and signatures can allow what
// these do not, where there is a key for them.
func nobodySubscribes(c *config.Config, add report) {
	if hasSymmetric(c) || hasPublished(c) {
		return
	}
	eachNamespace(c, func(setting, name string, o *channel.Options) {
		open := o.AllowSubscribeForClient && o.AllowSubscribeForAnonymous && c.Client.AllowAnonymous
		hooked := c.Hooks.ConnectURL != "" // which may name users, and subscribe them
		if name != "" && !open && !hooked {
			add(Warning, setting, "nobody may subscribe: there is no key for tokens and no connect hook, and the namespace is not open to anonymous clients",
				"set app.secret, or allow_subscribe_for_client, allow_subscribe_for_anonymous and client.allow_anonymous")
		}
	})
}

// probes are names that a regex which means something tells apart.
var probes = []string{
	"a", "Z", "0", "-", "é", "日本", "a b", "room-1", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", strings.Repeat("x", channel.MaxNameLength),
}

func regexOfEverything(c *config.Config, add report) {
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		re, err := regexp.Compile(o.ChannelRegex)
		if o.ChannelRegex == "" || err != nil {
			return
		}
		for _, name := range probes {
			if !re.MatchString(name) {
				return
			}
		}
		add(Note, setting+".channel_regex", fmt.Sprintf("%q matches every name", o.ChannelRegex), "anchor it with ^ and $ and say what a name is made of, or leave it out")
	})
}

func regexOfNothing(c *config.Config, add report) {
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		tree, err := syntax.Parse(o.ChannelRegex, syntax.Perl)
		if o.ChannelRegex != "" && err == nil && !canMatch(tree.Simplify()) {
			add(Error, setting+".channel_regex", fmt.Sprintf("%q matches no name: every channel of the namespace is refused", o.ChannelRegex), "correct it: it is matched against what follows the namespace")
		}
	})
}

// canMatch finds what can match nothing: a class without members, something before
// the beginning or behind the end. Where it cannot tell it says that it can.
func canMatch(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpNoMatch:
		return false
	case syntax.OpCharClass:
		return len(re.Rune) > 0
	case syntax.OpCapture, syntax.OpPlus:
		return canMatch(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if canMatch(sub) {
				return true
			}
		}
		return false
	case syntax.OpConcat:
		consumed, ended := false, false
		for _, sub := range re.Sub {
			switch {
			case !canMatch(sub), sub.Op == syntax.OpBeginText && consumed, ended && consumes(sub):
				return false
			}
			consumed = consumed || consumes(sub)
			ended = ended || sub.Op == syntax.OpEndText
		}
	}
	return true
}

// consumes reports that something takes at least one character.
func consumes(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return consumes(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if consumes(sub) {
				return true
			}
		}
	}
	return false
}

func regexWithNamespace(c *config.Config, add report) {
	eachNamespace(c, func(setting, name string, o *channel.Options) {
		if name != "" && strings.HasPrefix(strings.TrimPrefix(o.ChannelRegex, "^"), name+":") {
			add(Error, setting+".channel_regex", fmt.Sprintf("begins with %q, and is matched against what follows that: a name would need it twice", name+":"), "leave the namespace out of it")
		}
	})
}

func recovers(o *channel.Options) bool { return o.AllowRecovery || o.ForceRecovery }

func recoveryFromMemory(c *config.Config, add report) {
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		if recovers(o) && o.RecoveryMode() == channel.RecoverStream && o.Durability() == channel.Memory {
			add(Warning, setting+".history_durability", "is memory, and clients recover: after a restart all of them are told that they cannot, and load everything anew at once",
				"use disk, unless your backend bears that")
		}
	})
}

func longHistory(c *config.Config, add report) {
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		if o.HistoryMetaTTL == 0 && o.HistoryTTL > channel.DefaultHistoryMetaTTL {
			add(Note, setting+".history_ttl", fmt.Sprintf("is %s, longer than the %s that an idle channel is remembered for by default: it is remembered as long as its history",
				days(o.HistoryTTL), days(channel.DefaultHistoryMetaTTL)), "set history_meta_ttl, so that it is you who says so")
		}
	})
}

func slowConsumer(c *config.Config, add report) {
	eachNamespace(c, func(setting, _ string, o *channel.Options) {
		if o.MayLose() && o.HasHistory() && !recovers(o) {
			add(Note, setting+".slow_consumer", fmt.Sprintf("is %q, and history is kept: a slow client misses messages that are there, and is not told", string(o.SlowConsumer)),
				"use disconnect with force_recovery, if every message matters")
		}
	})
}
