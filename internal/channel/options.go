package channel

import (
	"fmt"
	"regexp"
	"time"
)

// Durability says what an acknowledged publication survives.
type Durability string

// The durabilities of history_durability.
const (
	Disk   Durability = "disk"   // fsynced before the reply; the default
	Memory Durability = "memory" // in RAM, gone with the process
)

// RecoveryMode says what a returning subscriber is given.
type RecoveryMode string

// The modes of force_recovery_mode.
const (
	RecoverStream RecoveryMode = "stream" // every missed publication, or none
	RecoverCache  RecoveryMode = "cache"  // only the latest publication
)

// SlowConsumer says what becomes of a subscriber that reads more slowly than
// messages come, once its outbox is full.
type SlowConsumer string

// The policies of slow_consumer.
const (
	SlowDisconnect SlowConsumer = "disconnect"  // end its session (3008): it resumes from history; the default
	DropOldest     SlowConsumer = "drop_oldest" // lose the oldest messages that wait for it
	KeepLatest     SlowConsumer = "latest"      // keep the newest only, of the channel or of each conflate_key
)

// DeltaFossil is the one format of allowed_delta_types.
const DeltaFossil = "fossil"

// Options are what a namespace sets for its channels. Everything is off in the
// zero value. Names and meanings are Centrifugo's where it has them.
type Options struct {
	HistorySize       int           `koanf:"history_size" json:"history_size"`               // publications kept per channel; 0: no history
	HistoryTTL        time.Duration `koanf:"history_ttl" json:"history_ttl"`                 // how long a publication is kept; 0: no history
	HistoryMetaTTL    time.Duration `koanf:"history_meta_ttl" json:"history_meta_ttl"`       // how long an idle channel keeps epoch and offset; 0: DefaultHistoryMetaTTL
	HistoryDurability Durability    `koanf:"history_durability" json:"history_durability"`   // whether a publication is fsynced before its reply, or only in RAM; "": Disk
	AllowPositioning  bool          `koanf:"allow_positioning" json:"allow_positioning"`     // clients may ask for positions
	ForcePositioning  bool          `koanf:"force_positioning" json:"force_positioning"`     // every subscription is positioned
	AllowRecovery     bool          `koanf:"allow_recovery" json:"allow_recovery"`           // clients may ask for recovery
	ForceRecovery     bool          `koanf:"force_recovery" json:"force_recovery"`           // every subscription recovers
	ForceRecoveryMode RecoveryMode  `koanf:"force_recovery_mode" json:"force_recovery_mode"` // what a returning subscriber is given: all it missed, or only the latest; "": RecoverStream

	Presence           bool `koanf:"presence" json:"presence"`                           // who is subscribed is known and can be asked for
	JoinLeave          bool `koanf:"join_leave" json:"join_leave"`                       // clients may ask to be told of joins and leaves
	ForcePushJoinLeave bool `koanf:"force_push_join_leave" json:"force_push_join_leave"` // push joins and leaves unasked

	AllowSubscribeForClient    bool `koanf:"allow_subscribe_for_client" json:"allow_subscribe_for_client"`       // clients with a user may subscribe
	AllowSubscribeForAnonymous bool `koanf:"allow_subscribe_for_anonymous" json:"allow_subscribe_for_anonymous"` // together with allow_subscribe_for_client: clients without a user may, too
	AllowUserLimitedChannels   bool `koanf:"allow_user_limited_channels" json:"allow_user_limited_channels"`     // users listed after "#" in a channel's name may subscribe; the others may not, whatever is allowed here
	AllowPublishForClient      bool `koanf:"allow_publish_for_client" json:"allow_publish_for_client"`           // clients with a user may publish
	AllowPublishForSubscriber  bool `koanf:"allow_publish_for_subscriber" json:"allow_publish_for_subscriber"`   // subscribers of the channel may publish
	AllowPublishForAnonymous   bool `koanf:"allow_publish_for_anonymous" json:"allow_publish_for_anonymous"`     // together with one of the two above: clients without a user may, too
	AllowPresenceForClient     bool `koanf:"allow_presence_for_client" json:"allow_presence_for_client"`         // clients with a user may ask for presence
	AllowPresenceForSubscriber bool `koanf:"allow_presence_for_subscriber" json:"allow_presence_for_subscriber"` // subscribers of the channel may ask for presence
	AllowPresenceForAnonymous  bool `koanf:"allow_presence_for_anonymous" json:"allow_presence_for_anonymous"`   // together with one of the two above: clients without a user may, too
	AllowHistoryForClient      bool `koanf:"allow_history_for_client" json:"allow_history_for_client"`           // clients with a user may read history
	AllowHistoryForSubscriber  bool `koanf:"allow_history_for_subscriber" json:"allow_history_for_subscriber"`   // subscribers of the channel may read history
	AllowHistoryForAnonymous   bool `koanf:"allow_history_for_anonymous" json:"allow_history_for_anonymous"`     // together with one of the two above: clients without a user may, too

	SubscribeProxyEnabled  bool `koanf:"subscribe_proxy_enabled" json:"subscribe_proxy_enabled"`     // the backend decides who may subscribe (hooks.subscribe_url), but for subscription tokens and users listed after "#"
	PublishProxyEnabled    bool `koanf:"publish_proxy_enabled" json:"publish_proxy_enabled"`         // the backend decides on each publication of a client, and may change it (hooks.publish_url); flags and grants do not go around it
	SubRefreshProxyEnabled bool `koanf:"sub_refresh_proxy_enabled" json:"sub_refresh_proxy_enabled"` // the backend is asked whether a subscription that expires goes on (hooks.sub_refresh_url), and not the client for another token

	SubscribeProxyName  string `koanf:"subscribe_proxy_name" json:"subscribe_proxy_name"`     // the one of `hooks.backends` that is asked who may subscribe; "" or `default`: hooks.subscribe_url
	PublishProxyName    string `koanf:"publish_proxy_name" json:"publish_proxy_name"`         // likewise of publications, in place of hooks.publish_url
	SubRefreshProxyName string `koanf:"sub_refresh_proxy_name" json:"sub_refresh_proxy_name"` // likewise of subscriptions that expire, in place of hooks.sub_refresh_url

	AllowTagsFilter   bool     `koanf:"allow_tags_filter" json:"allow_tags_filter"`     // clients may choose publications by their tags
	AllowedDeltaTypes []string `koanf:"allowed_delta_types" json:"allowed_delta_types"` // clients may be sent publications as changes in these formats: fossil

	SlowConsumer SlowConsumer `koanf:"slow_consumer" json:"slow_consumer"` // "": SlowDisconnect
	ConflateKey  string       `koanf:"conflate_key" json:"conflate_key"`   // a tag: slow_consumer latest keeps one message for each of its values

	ChannelRegex string `koanf:"channel_regex" json:"channel_regex"` // RE2, matched against the name after "namespace:"; "": any
}

// DefaultHistoryMetaTTL is how long an idle channel keeps its epoch and offset.
const DefaultHistoryMetaTTL = 30 * 24 * time.Hour

// CacheTTL is how long a cache channel keeps its latest publication where the
// namespace keeps no history. Pusher's.
const CacheTTL = 30 * time.Minute

// Limits of one namespace's history.
const (
	MaxHistorySize = 1_000_000
	MaxHistoryTTL  = 10 * 365 * 24 * time.Hour
)

// HasHistory reports whether publications are kept.
func (o *Options) HasHistory() bool { return o.HistorySize > 0 && o.HistoryTTL > 0 }

// Durability is the history_durability with its default.
func (o *Options) Durability() Durability {
	if o.HistoryDurability == "" {
		return Disk
	}
	return o.HistoryDurability
}

// MetaTTL is the history_meta_ttl with its default; never below the history_ttl.
func (o *Options) MetaTTL() time.Duration {
	ttl := o.HistoryMetaTTL
	if ttl == 0 {
		ttl = DefaultHistoryMetaTTL
	}
	return max(ttl, o.HistoryTTL)
}

// RecoveryMode is the force_recovery_mode with its default.
func (o *Options) RecoveryMode() RecoveryMode {
	if o.ForceRecoveryMode == "" {
		return RecoverStream
	}
	return o.ForceRecoveryMode
}

// MayLose reports whether a slow subscriber may lose messages rather than its
// session.
func (o *Options) MayLose() bool { return o.SlowConsumer == DropOldest || o.SlowConsumer == KeepLatest }

// Check reports the first option that contradicts another or its range.
func (o *Options) Check() error {
	switch {
	case o.HistorySize < 0 || o.HistorySize > MaxHistorySize:
		return fmt.Errorf("history_size %d: must be 0 to %d", o.HistorySize, MaxHistorySize)
	case o.HistoryTTL < 0 || o.HistoryTTL > MaxHistoryTTL:
		return fmt.Errorf("history_ttl %s: must be 0 to %s", o.HistoryTTL, MaxHistoryTTL)
	case (o.HistorySize > 0) != (o.HistoryTTL > 0):
		return fmt.Errorf("history_size %d with history_ttl %s: history needs both", o.HistorySize, o.HistoryTTL)
	case o.HistoryMetaTTL < 0:
		return fmt.Errorf("history_meta_ttl %s: must not be negative", o.HistoryMetaTTL)
	case o.HistoryMetaTTL > 0 && o.HistoryMetaTTL < o.HistoryTTL:
		return fmt.Errorf("history_meta_ttl %s: must not be shorter than history_ttl %s", o.HistoryMetaTTL, o.HistoryTTL)
	case o.HistoryDurability != "" && o.HistoryDurability != Disk && o.HistoryDurability != Memory:
		return fmt.Errorf("history_durability %q: must be %q or %q", o.HistoryDurability, Disk, Memory)
	case o.ForceRecoveryMode != "" && o.ForceRecoveryMode != RecoverStream && o.ForceRecoveryMode != RecoverCache:
		return fmt.Errorf("force_recovery_mode %q: must be %q or %q", o.ForceRecoveryMode, RecoverStream, RecoverCache)
	case o.needsHistory() && !o.HasHistory():
		return fmt.Errorf("positioning or recovery without history: set history_size and history_ttl")
	case o.ForcePushJoinLeave && !o.JoinLeave:
		return fmt.Errorf("force_push_join_leave without join_leave")
	}
	if err := o.checkSlowConsumer(); err != nil {
		return err
	}
	for _, format := range o.AllowedDeltaTypes {
		if format != DeltaFossil {
			return fmt.Errorf("allowed_delta_types %q: must be %q", format, DeltaFossil)
		}
	}
	if _, err := regexp.Compile(o.ChannelRegex); err != nil {
		return fmt.Errorf("channel_regex: %w", err)
	}
	return nil
}

func (o *Options) needsHistory() bool {
	return o.AllowPositioning || o.ForcePositioning || o.AllowRecovery || o.ForceRecovery
}

// checkSlowConsumer refuses what would break a promise: a stream that recovers or
// is positioned must not have gaps.
func (o *Options) checkSlowConsumer() error {
	switch o.SlowConsumer {
	case "", SlowDisconnect, DropOldest, KeepLatest:
	default:
		return fmt.Errorf("slow_consumer %q: must be %q, %q or %q", o.SlowConsumer, SlowDisconnect, DropOldest, KeepLatest)
	}
	switch {
	case o.MayLose() && len(o.AllowedDeltaTypes) > 0:
		return fmt.Errorf("slow_consumer %q with allowed_delta_types: what follows a lost message could not be read", o.SlowConsumer)
	case o.ConflateKey != "" && o.SlowConsumer != KeepLatest:
		return fmt.Errorf("conflate_key without slow_consumer %q", KeepLatest)
	case !o.MayLose():
		return nil
	case o.AllowPositioning || o.ForcePositioning:
		return fmt.Errorf("slow_consumer %q with positioning: it would miss messages without being told", o.SlowConsumer)
	case (o.AllowRecovery || o.ForceRecovery) && o.RecoveryMode() == RecoverStream:
		return fmt.Errorf("slow_consumer %q with recovery of the stream: what was lost would not be recovered", o.SlowConsumer)
	}
	return nil
}
