package doctor

import "github.com/fanfare-push/fanfare/internal/config"

// report takes one finding of a rule.
type report func(s Severity, setting, why, do string)

// rule is one thing to look for; it has find or onMachine.
type rule struct {
	name      string
	find      func(c *config.Config, add report)
	onMachine func(c *config.Config, m Machine, add report)
	inDev     bool // it holds in dev mode, too
}

// rules are all there are. A new one is a function, a row here, and two rows in
// the table of the test: one that trips it and one that just does not.
var rules = []rule{
	{name: "dev_mode", find: devMode, inDev: true},

	{name: "secret_weak", find: weakSecrets},
	{name: "secret_shared", find: sharedSecrets},
	{name: "token_keys", find: tokenKeys},
	{name: "token_keys_two_kinds", find: twoKindsOfKeys},
	{name: "previous_secret", find: previousSecret},
	{name: "jwks_audience", find: audienceOfJWKS},
	{name: "jwks_plain", find: plainJWKS},
	{name: "api_key", find: noAPIKey},
	{name: "pusher_halfway", find: pusherHalfway},

	{name: "no_tls", find: noTLS},
	{name: "origin_wildcard", find: wildcardOrigins},
	{name: "origin_plain", find: plainOrigins},
	{name: "webhook_plain", find: plainWebhooks},
	{name: "api_public", find: apiInPublic},
	{name: "internal_no_tls", find: internalNoTLS},

	{name: "cluster_no_tls", find: plainCluster},
	{name: "cluster_one_copy", find: oneCopy},
	{name: "cluster_shared_machine", find: sharedMachine},
	{name: "cluster_nats", find: natsOfOthers},

	{name: "hook_unsigned", find: unsignedHooks},
	{name: "hook_plain", find: plainHooks},
	{name: "hook_slow", find: slowHooks},
	{name: "hook_unused", find: unusedHooks},
	{name: "hook_cookies", find: cookiesFromEverywhere},
	{name: "webhook_not_repeated", find: webhookNotRepeated},
	{name: "webhook_of_nothing", find: webhookOfNothing},

	{name: "anonymous", find: anonymousClients},
	{name: "anonymous_publish", find: anonymousPublish},
	{name: "nobody_subscribes", find: nobodySubscribes},
	{name: "regex_everything", find: regexOfEverything},
	{name: "regex_nothing", find: regexOfNothing},
	{name: "regex_namespace", find: regexWithNamespace},
	{name: "recovery_memory", find: recoveryFromMemory},
	{name: "history_long", find: longHistory},
	{name: "slow_consumer", find: slowConsumer},

	{name: "limit_large", find: largeLimits},
	{name: "limit_off", find: missingLimits},
	{name: "limit_by_address", find: addressLimits},
	{name: "limit_burst", find: longBurst},
	{name: "connect_timeout", find: longConnectTimeout},
	{name: "log_debug", find: debugLog},

	{name: "data_dir_open", onMachine: openDataDir},
	{name: "data_dir_volatile", onMachine: volatileDataDir, inDev: true},
	{name: "key_file_open", onMachine: openKeyFiles},
	{name: "audit_file_open", onMachine: openAuditFile},
	{name: "descriptors", onMachine: fewDescriptors, inDev: true},
}

func devMode(c *config.Config, add report) {
	if c.Dev {
		add(Error, "dev", "dev mode: everything is allowed to everybody who reaches this machine, with a key that everybody knows",
			"do without it where the server is for others; then this command looks at the rest, too")
	}
}
