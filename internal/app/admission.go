package app

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/admin"
	"github.com/fanfare-push/fanfare/internal/admin/password"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
	"github.com/fanfare-push/fanfare/internal/transport/proxies"
)

// admit makes what decides who a request comes from, and who may see the page.
func (a *App) admit() (err error) {
	a.proxies, err = proxies.New(proxies.Config{
		Trusted: a.cfg.Client.TrustedProxies, Log: a.log,
		Refused: a.metrics.Refused.Of(metrics.RefuseProxyHeader).Inc,
	})
	if err != nil {
		return fmt.Errorf("client.trusted_proxies: %w", err)
	}
	c := &a.cfg.Admin
	text, name := string(c.PasswordHash), "admin.password_hash"
	if c.PasswordFile != "" {
		name = "admin.password_file"
		content, err := readKey(c.PasswordFile)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		text = string(content)
	}
	if text == "" && c.PasswordFile == "" {
		return nil
	}
	hash, err := password.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.password = hash.Matches
	return nil
}

// behindProxies reads PROXY headers where the settings say so.
func (a *App) behindProxies(l net.Listener) net.Listener {
	if !a.cfg.Client.ProxyProtocol {
		return l
	}
	return a.proxies.Listener(l)
}

// outer is what every request goes through: who asks is found out first.
func (a *App) outer(next http.Handler) http.Handler {
	return a.strictTransport(a.proxies.Handler(next))
}

// strictTransport tells browsers to stay with TLS (RFC 6797), in responses over
// TLS alone (7.2). A machine where somebody develops serves other things at
// localhost, so dev mode does not.
func (a *App) strictTransport(next http.Handler) http.Handler {
	age := a.cfg.TLS.HSTSMaxAge
	if encrypted := len(a.certs) > 0 || a.acme != nil; age == 0 || a.cfg.Dev || !encrypted {
		return next
	}
	value := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", value)
		}
		next.ServeHTTP(w, r)
	})
}

// clientPrefix is whom wrong passwords are counted for.
func clientPrefix(r *http.Request) netip.Prefix { return limit.Host(transport.ClientAddr(r)) }

// refusedAdmin counts what the page refuses, and writes down keys and passwords.
func (a *App) refusedAdmin(r *http.Request, why admin.Refusal) {
	reason := metrics.RefuseAPIKey
	switch why {
	case admin.RefusedPassword:
		reason = metrics.RefuseAdminPassword
		a.refusedPassword(r, "wrong password")
	case admin.RefusedGuess:
		reason = metrics.RefuseAdminGuess
		a.refusedPassword(r, "too many wrong passwords from this address")
	case admin.RefusedCSRF:
		reason = metrics.RefuseCSRF
	case admin.RefusedKey:
		a.refusedKey(r)
	case admin.RefusedPeer, admin.RefusedWatchers:
	}
	a.metrics.Refused.Of(reason).Inc()
}
