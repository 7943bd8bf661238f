package doctor

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fanfare-push/fanfare/internal/config"
)

// Lengths of secrets in bytes: RFC 7518, 3.2 wants as many as the hash has.
const (
	tooShort   = 16
	longEnough = 32
	// fewBytes are too few different ones for a secret that was drawn.
	fewBytes = 8
)

// makeOne is what to do about a bad secret.
const makeOne = "make one with openssl rand -hex 32, and put it into the environment or a file that only the server reads"

// knownWords are in secrets that somebody thought up or copied.
var knownWords = []string{"secret", "password", "passwort", "changeme", "change-me", "example", "fanfare", "centrifugo", "qwerty", "12345678", "letmein", "admin", "default"}

// secret is one of the settings, by its name.
type secret struct {
	setting string
	value   config.Secret
}

func secretsOf(c *config.Config) []secret {
	list := []secret{
		{"app.secret", c.App.Secret},
		{"tokens.previous_secret", c.Tokens.PreviousSecret},
		{"api.key", c.API.Key},
		{"hooks.secret", c.Hooks.Secret},
		{"cluster.secret", c.Cluster.Secret},
	}
	return append(list, keysOfApps(c)...)
}

// keysOfApps are the secrets of keys in the settings; those in files are not read.
func keysOfApps(c *config.Config) (list []secret) {
	add := func(at string, keys []config.AppKey) {
		for _, k := range keys {
			list = append(list, secret{fmt.Sprintf("%s.keys[%s].secret", at, k.ID), k.Secret})
		}
	}
	add("app", c.App.Keys)
	for i := range c.Apps {
		add(fmt.Sprintf("apps[%s]", c.Apps[i].Name), c.Apps[i].Keys)
	}
	return list
}

func weakSecrets(c *config.Config, add report) {
	for _, s := range secretsOf(c) {
		text := string(s.value)
		if text == "" {
			continue
		}
		word := knownWord(text)
		switch {
		case len(text) < tooShort:
			add(Error, s.setting, fmt.Sprintf("has %d bytes: it can be tried out", len(text)), makeOne)
		case word != "":
			add(Error, s.setting, fmt.Sprintf("holds %q: it was thought up or copied, not drawn, and lists of such are tried first", word), makeOne)
		case distinct(text) < fewBytes:
			add(Error, s.setting, fmt.Sprintf("has only %d different bytes: it was not drawn", distinct(text)), makeOne)
		case len(text) < longEnough:
			add(Warning, s.setting, fmt.Sprintf("has %d bytes, fewer than the %d of HS256 (RFC 7518, 3.2)", len(text), longEnough), makeOne)
		}
	}
}

func knownWord(text string) string {
	text = strings.ToLower(text)
	for _, word := range knownWords {
		if strings.Contains(text, word) {
			return word
		}
	}
	return ""
}

func distinct(text string) int {
	seen := map[byte]bool{}
	for i := range len(text) {
		seen[text[i]] = true
	}
	return len(seen)
}

func sharedSecrets(c *config.Config, add report) {
	all := append(secretsOf(c), secret{"app.key", config.Secret(c.App.Key)})
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.value == "" || a.value != b.value {
				continue
			}
			why := fmt.Sprintf("is the same as %s: who has one has the other", b.setting)
			if b.setting == "app.key" {
				why = "is the same as app.key, which every page tells its visitors"
			}
			add(Error, a.setting, why, makeOne)
		}
	}
}

// hasSymmetric and hasPublished say what can verify tokens.
func hasSymmetric(c *config.Config) bool {
	for _, k := range c.App.Keys {
		if k.Scope == "sign" {
			return true
		}
	}
	return c.App.Secret != "" || c.Tokens.PreviousSecret != "" || len(c.Tokens.SecretFiles) > 0
}

func hasPublished(c *config.Config) bool {
	return len(c.Tokens.PublicKeys) > 0 || c.Tokens.JWKSURL != ""
}

func tokenKeys(c *config.Config, add report) {
	if !hasSymmetric(c) && !hasPublished(c) && !c.Client.AllowAnonymous && c.Hooks.ConnectURL == "" {
		add(Warning, "app.secret", "nothing verifies a token, anonymous clients are not allowed and no connect hook is asked: no client can connect",
			"set app.secret, tokens.public_keys, tokens.jwks_url or hooks.connect_url")
	}
}

func twoKindsOfKeys(c *config.Config, add report) {
	if hasSymmetric(c) && hasPublished(c) {
		add(Note, "tokens", "tokens are verified by a secret and by public keys: who has the secret can make any token, whatever the identity provider says",
			"leave app.secret empty, unless Pusher clients, webhooks or a backend of yours need it")
	}
}

func previousSecret(c *config.Config, add report) {
	if c.Tokens.PreviousSecret != "" {
		add(Note, "tokens.previous_secret", "what the secret of before has signed is still accepted",
			"remove it once the last token that it has signed has expired")
	}
}

func audienceOfJWKS(c *config.Config, add report) {
	if c.Tokens.JWKSURL != "" && c.Tokens.Audience == "" {
		add(Warning, "tokens.audience", "is not set, and keys come from an identity provider: a token that it made for another application is accepted here",
			"set tokens.audience to what your provider writes into aud for this server, and tokens.issuer")
	}
}

func plainJWKS(c *config.Config, add report) {
	u, err := url.Parse(c.Tokens.JWKSURL)
	if err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		add(Error, "tokens.jwks_url", "is asked without TLS: who is on the way chooses the keys, and so who every client is", "use https")
	}
}

func noAPIKey(c *config.Config, add report) {
	if c.API.Key == "" {
		add(Note, "api.key", "is not set: the server API, the lists and /metrics are shut", "set it, unless that is meant")
	}
}

func pusherHalfway(c *config.Config, add report) {
	if (c.App.Key != "" || c.App.ID != "") && c.App.Secret == "" {
		add(Warning, "app.secret", "is not set, and app.key or app.id are: Pusher clients connect, and no signature is right", "set it to the secret of your Pusher app")
	}
	if c.App.Key == "" && c.App.ID != "" {
		add(Warning, "app.key", "is not set, and app.id is: Pusher's HTTP API refuses every request", "set it to the key of your Pusher app")
	}
}

// isLoopback accepts what never leaves this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
