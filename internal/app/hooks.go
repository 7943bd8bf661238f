package app

import (
	"fmt"
	"net/http"

	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/hook"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// hooks makes what asks the backend; nil: it is asked nothing.
func (a *App) hooks() (*hook.Client, error) {
	c := a.cfg.Hooks
	authorities, err := trusting(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("hooks.ca_file: %w", err)
	}
	asked := map[hub.Hook]hook.Endpoint{}
	for kind, at := range map[hub.Hook]hook.Endpoint{
		hub.HookConnect:    {URL: c.ConnectURL, Timeout: c.ConnectTimeout},
		hub.HookRefresh:    {URL: c.RefreshURL, Timeout: c.RefreshTimeout},
		hub.HookSubscribe:  {URL: c.SubscribeURL, Timeout: c.SubscribeTimeout},
		hub.HookPublish:    {URL: c.PublishURL, Timeout: c.PublishTimeout},
		hub.HookSubRefresh: {URL: c.SubRefreshURL, Timeout: c.SubRefreshTimeout},
		hub.HookRPC:        {URL: c.RPCURL, Timeout: c.RPCTimeout},
	} {
		if at.URL != "" {
			asked[kind] = at
		}
	}
	if len(asked)+len(c.Backends) == 0 {
		return nil, nil
	}
	named := make(map[string]hook.Endpoint, len(c.Backends))
	for _, b := range c.Backends {
		named[b.Name] = hook.Endpoint{URL: b.URL, Timeout: b.Timeout, Secret: []byte(b.Secret)}
	}
	return hook.New(hook.Config{
		Hooks: asked, Backends: named, Secret: []byte(c.Secret), Headers: c.Headers, ClientHeaders: c.ClientHeaders,
		HTTP:          egress.New(egress.Config{Trusted: c.TrustedHosts, MaxIdle: c.MaxConcurrent, TLS: authorities}),
		MaxConcurrent: c.MaxConcurrent, MaxReply: int(c.MaxReplySize),
		BreakerFailures: c.BreakerFailures, BreakerPause: c.BreakerPause,
		Log: a.log, Metrics: a.metrics,
	}), nil
}

// backend is nil, and not a nil *Client, where nobody is asked.
func (a *App) backend() hub.Backend {
	if a.asking == nil {
		return nil
	}
	return a.asking
}

func (a *App) stopHooks() {
	if a.asking != nil {
		a.asking.Close()
	}
}

// toldHeaders picks what of a client's request its backend is told; nil: nothing.
func (a *App) toldHeaders() func(http.Header) map[string][]string {
	names := a.cfg.Hooks.Headers
	if a.asking == nil || len(names) == 0 {
		return nil
	}
	return func(h http.Header) map[string][]string { return hook.Kept(h, names) }
}
