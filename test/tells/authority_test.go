package tells

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/server"
)

// A receiver whose certificate a private authority has signed is told where that
// authority is named, and only there.
func TestPrivateAuthority(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	b := &backend{ids: make(map[string]bool), changed: make(chan struct{}, 1)}
	receiver := httptest.NewTLSServer(b)
	defer receiver.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	publish := func(settings string) *server.Server {
		srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: dir, Config: settings, APIKey: apiKey})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(srv.Kill)
		api := srv.API(&http.Client{Transport: transport, Timeout: timeout})
		if err := api.Do(ctx, "publish", map[string]any{"channel": "room", "data": 1}, nil); err != nil {
			t.Fatal(err)
		}
		return srv
	}
	settings := fmt.Sprintf(config, receiver.URL)
	stranger := publish(settings)
	for !strings.Contains(stranger.Output(), "unknown authority") {
		if ctx.Err() != nil {
			t.Fatal("the certificate of an unknown authority is not refused")
		}
	}
	stranger.Kill()
	publish(strings.Replace(settings, "  debounce", "  ca_file: "+file+"\n  debounce", 1))
	told := b.until(t, 0, "both publications", func(all []event) bool { return count(all, "published") == 2 })
	if told[0].Offset != 1 || told[1].Offset != 2 {
		t.Errorf("told %+v", told)
	}
}
