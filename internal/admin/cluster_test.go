package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
)

func TestCluster(t *testing.T) {
	var fails error
	h := newHandler(Config{Dev: true, Cluster: "demo", Overview: func(context.Context) (engine.Overview, error) {
		return engine.Overview{Cluster: "demo", Nodes: []engine.NodeOverview{{ID: "u1", Name: "n1", Ready: true}}}, fails
	}}, &fakeHub{})
	w := get(h, local(http.MethodGet, "/admin/cluster"))
	if w.Code != http.StatusOK || w.Body.String() != `{"cluster":"demo","nodes":[{"uid":"u1","name":"n1","num_clients":0,"ready":true}]}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	fails = errors.New("a secret address")
	if w := get(h, local(http.MethodGet, "/admin/cluster")); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	alone := get(newHandler(Config{Dev: true}, &fakeHub{}), local(http.MethodGet, "/admin/cluster"))
	if alone.Code != http.StatusOK || alone.Body.String() != `{"cluster":"","nodes":[]}`+"\n" {
		t.Errorf("%d %s", alone.Code, alone.Body)
	}
	if w := get(newHandler(Config{Operator: keyed("k")}, &fakeHub{}), local(http.MethodGet, "/admin/cluster")); w.Code != http.StatusUnauthorized {
		t.Errorf("without the key: %d", w.Code)
	}
}
