package hooks

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/server"
)

// A namespace asks its own backend, and the others the one of the hook.
func TestNamedBackend(t *testing.T) {
	own := NewBackend()
	t.Cleanup(own.Stop)
	p := start(t, fmt.Sprintf("  backends:\n    - {name: team, url: %q, timeout: 5s}\n", own.URL+"/team"))
	p.On("subscribe", JSON(`{"result":{"data":"of the hook"}}`))
	own.On("team", JSON(`{"result":{"data":"of the team"}}`))
	c := p.connect()
	for i, step := range []struct{ command, want string }{
		{`"subscribe":{"channel":"hook:a"}`, `"data":"of the hook"`},
		{`"subscribe":{"channel":"team:a"}`, `"data":"of the team"`},
		{`"publish":{"channel":"team:b","data":1}`, `"publish":{`},
	} {
		if m := p.ask(c, uint32(i+2), step.command); !strings.Contains(string(m.Raw), step.want) {
			t.Errorf("%s: %s, want %s", step.command, m.Raw, step.want)
		}
	}
	if own.Calls.Load() != 2 || own.Forged.Load() != 0 {
		t.Errorf("it was asked %d times, %d of them not signed", own.Calls.Load(), own.Forged.Load())
	}
	// What one backend does is no other's fault.
	own.Stop()
	m := p.ask(c, 9, `"subscribe":{"channel":"team:c"}`)
	p.temporary("of a dead backend", &m)
	if m := p.ask(c, 10, `"subscribe":{"channel":"hook:b"}`); m.Subscribe == nil {
		t.Errorf("of the other: %s", m.Raw)
	}
}

// What a backend sets for one subscription is what the client is told and what others
// see of it.
func TestOverride(t *testing.T) {
	p := start(t, "")
	p.On("subscribe", JSON(`{"result":{"override":{"presence":{"value":false},"force_recovery":{"value":true}}}}`))
	c := p.connect()
	if m := p.ask(c, 2, `"subscribe":{"channel":"team:a"}`); !strings.Contains(string(m.Raw), `"recoverable":true`) {
		t.Errorf("recoverable: %s", m.Raw)
	}
	p.On("subscribe", JSON(`{"result":{"override":{"force_push_join_leave":{"value":true}}}}`))
	other := p.connect()
	if m := p.ask(other, 2, `"subscribe":{"channel":"team:a"}`); m.Subscribe == nil || strings.Contains(string(m.Raw), "recoverable") {
		t.Errorf("as the namespace says: %s", m.Raw)
	}
	api := p.srv.API(client(t))
	var present struct {
		Presence map[string]struct{ User string } `json:"presence"`
	}
	// The reply is there before others are told.
	for len(present.Presence) != 1 {
		if err := api.Do(p.ctx, "presence", map[string]any{"channel": "team:a"}, &present); err != nil {
			t.Fatalf("present are %+v, %v", present, err)
		}
	}
}

// A private authority's certificates are good where it is named, and nowhere else.
func TestPrivateAuthority(t *testing.T) {
	b := &Backend{answers: map[string]Answer{"connect": JSON(`{"result":{"user":"ann"}}`)}}
	b.Server = httptest.NewTLSServer(b)
	t.Cleanup(b.Stop)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := startAt(t, b.URL, "  ca_file: "+file+"\n")
	trusting.connect()
	if b.Forged.Load() != 0 {
		t.Error("a call is not signed")
	}
	stranger := startAt(t, b.URL, "")
	m := stranger.ask(stranger.dial(""), 1, `"connect":{}`)
	stranger.temporary("an unknown authority", &m)
	if n := b.Calls.Load(); n != 1 {
		t.Errorf("the backend was asked %d times", n)
	}
	// A file that holds none keeps the server from starting.
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for section, config := range map[string]string{
		"hooks":   "hooks: {ca_file: " + file + ", connect_url: 'https://example.org/'}\n",
		"webhook": "webhook: {ca_file: " + file + ", urls: ['https://example.org/']}\napp: {key: k, secret: 0b8f4e9c1d2a3f}\n",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: config})
		cancel()
		if err == nil {
			srv.Kill()
		}
		if err == nil || !strings.Contains(err.Error(), section+".ca_file") {
			t.Errorf("%s: %v", section, err)
		}
	}
}
