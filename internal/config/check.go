package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/egress"
)

// check reports every setting that is out of its range or contradicts another.
func (c *Config) check() error {
	var errs []error
	for _, s := range settings(configType) {
		if v := reflect.ValueOf(c).Elem().FieldByIndex(s.index); !inRange(v, s.field.Tag.Get("allow")) {
			errs = append(errs, fmt.Errorf("%s: %v is not allowed, it must be %s", s.key, v.Interface(), allowed(s.field)))
		}
	}
	add := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, s := range settings(configType) {
		v, isSecret := reflect.ValueOf(c).Elem().FieldByIndex(s.index).Interface().(Secret)
		add(!isSecret || !IsPlaceholder(v), "%s: this is a placeholder, not a secret: make one with openssl rand -hex 32, "+
			"and rather put it into the environment, as %s, than into the file", s.key, env(s.key))
	}
	add(c.Audit.File != "" || !c.Audit.Required, "audit.required: there is nothing to require without audit.file")
	host, port, err := net.SplitHostPort(c.Listen)
	add(err == nil && isPort(port), "listen: %q is no address, it must be host:port, such as 127.0.0.1:8000 or :8000", c.Listen)
	add(!c.Dev || err != nil || isLoopback(host), "listen: %q is not a loopback address, and dev mode allows everything to everybody: "+
		"listen on 127.0.0.1, or do without --dev", c.Listen)
	c.checkListeners(add)
	c.checkCluster(add)
	add(c.DataDir != "", "data_dir: must not be empty")
	add(c.Client.PongTimeout < c.Client.PingInterval, "client.pong_timeout: %s must be shorter than client.ping_interval, which is %s",
		c.Client.PongTimeout, c.Client.PingInterval)
	add(c.Client.PingInterval%time.Second == 0, "client.ping_interval: %s must be whole seconds", c.Client.PingInterval)
	add(c.Pusher.ActivityTimeout%time.Second == 0, "pusher.activity_timeout: %s must be whole seconds", c.Pusher.ActivityTimeout)
	add(isPathSegment(c.App.ID), "app.id: %q must be letters, digits, - and _", c.App.ID)
	add(isPathSegment(c.App.Key), "app.key: %q must be letters, digits, - and _", c.App.Key)
	if c.Tokens.JWKSURL != "" {
		err := egress.Check(c.Tokens.JWKSURL, c.Tokens.JWKSTrustedHosts)
		add(err == nil, "tokens.jwks_url: %w; a host inside your network is named in tokens.jwks_trusted_hosts", err)
	}
	for _, target := range c.Webhook.URLs {
		err := egress.Check(withoutUser(target), c.Webhook.TrustedHosts)
		add(err == nil, "webhook.urls: %w; a host inside your network is named in webhook.trusted_hosts", err)
	}
	for _, event := range c.Webhook.Events {
		add(slices.Contains(webhookEvents, event), "webhook.events: %q is none, there are %s", event, strings.Join(webhookEvents, ", "))
	}
	add(len(c.Webhook.URLs) == 0 || c.App.Key != "" && c.App.Secret != "", "webhook.urls: app.key and app.secret sign the calls and must be set")
	for _, origin := range c.Client.AllowedOrigins {
		add(isOrigin(origin), "client.allowed_origins: %q is none, it must be scheme://host or scheme://host:port, with * for any part of a host, or *", origin)
	}
	errs = append(errs, c.checkHooks()...)
	errs = append(errs, c.checkApps()...)
	if _, err := c.Namespaces(); err != nil {
		errs = append(errs, fmt.Errorf("channel: %w", err))
	}
	return errors.Join(errs...)
}

// webhookEvents is what can be told by webhooks.
var webhookEvents = []string{
	"channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss", "subscription_count",
	"connected", "disconnected", "subscribed", "unsubscribed", "published",
}

// isPathSegment accepts what stands in a URL as it is.
func isPathSegment(s string) bool {
	return strings.Trim(s, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// withoutUser is a URL without the name and password in it, which webhooks may have.
func withoutUser(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	u.User = nil
	return u.String()
}

// inRange checks a value against the tag allow.
func inRange(v reflect.Value, allow string) bool {
	if allow == "" {
		return true
	}
	lowText, highText, isRange := strings.Cut(allow, "..")
	if !isRange {
		for choice := range strings.SplitSeq(allow, "|") {
			if v.String() == choice {
				return true
			}
		}
		return false
	}
	low, high := reflect.New(v.Type()).Elem(), reflect.New(v.Type()).Elem()
	return scalar(low, lowText) && scalar(high, highText) && low.Int() <= v.Int() && v.Int() <= high.Int()
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isOrigin accepts an origin as browsers send it (RFC 6454, 6.2), with * in the
// host, and a lone *.
func isOrigin(s string) bool {
	if s == "*" {
		return true
	}
	scheme, host, ok := strings.Cut(s, "://")
	u, err := url.Parse(scheme + "://" + strings.ReplaceAll(host, "*", "x"))
	return ok && err == nil && scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}
