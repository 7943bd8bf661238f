package client

import (
	"context"
	"encoding/json"
	"time"
)

// App is a tenant of the server, and what it uses of the node that answers.
type App struct {
	Name           string `json:"name"`
	Fixed          bool   `json:"fixed"` // by the server's settings, which the API does not change
	AllowAnonymous bool   `json:"allow_anonymous"`
	Connections    int    `json:"connections"`   // at once; 0: the server's limit
	Publishes      int    `json:"publishes"`     // in a second; 0: the server's limit
	HistoryBytes   int64  `json:"history_bytes"` // on disk; 0: the server's limit
	NumKeys        int    `json:"num_keys"`
	NumNamespaces  int    `json:"num_namespaces"`
	NumClients     int    `json:"num_clients"`
	NumUsers       int    `json:"num_users"`
	NumChannels    int    `json:"num_channels"`
	NumSubs        int    `json:"num_subs"`
	NumPublished   int64  `json:"num_published"`
	// NumHistoryBytes is what its publications on disk count against HistoryBytes.
	NumHistoryBytes int64 `json:"num_history_bytes"`
}

// AppSettings are what can be set of an App.
type AppSettings struct {
	AllowAnonymous bool  `json:"allow_anonymous"` // clients may connect without a token
	Connections    int   `json:"connections"`     // at once; 0: the server's limit
	Publishes      int   `json:"publishes"`       // in a second, of clients and backends; 0: the server's limit
	HistoryBytes   int64 `json:"history_bytes"`   // on disk; 0: the server's limit
}

// Key is a key of an App, without its secret.
type Key struct {
	ID            string    `json:"id"`
	Scope         string    `json:"scope"` // publish, read, admin, sign or operator
	Fixed         bool      `json:"fixed"` // by the server's settings
	Created       time.Time `json:"created"`
	PreviousUntil time.Time `json:"previous_until"` // until when the secret before the last rotation holds; zero: there is none
}

// NewKey is a key that was made or given another secret. The server does not show
// the secret again.
type NewKey struct {
	ID            string    `json:"id"`
	Scope         string    `json:"scope"` // of one that was made
	Secret        string    `json:"secret"`
	PreviousUntil time.Time `json:"previous_until"` // of one that was given another: until when the one before holds
}

// Namespace is one of an App, in the form of the server's settings.
type Namespace struct {
	Namespace json.RawMessage `json:"namespace"`
	Fixed     bool            `json:"fixed"` // by the server's settings
}

type appRequest struct {
	App string `json:"app,omitempty"`
}

// Apps lists the Apps that the key may see: with the operator's all of them.
func (a *API) Apps(ctx context.Context) ([]App, error) {
	var reply struct {
		Apps []App `json:"apps"`
	}
	err := a.call(ctx, "apps", struct{}{}, &reply)
	return reply.Apps, err
}

// CreateApp makes an App; it takes the operator's key, as do UpdateApp and RemoveApp.
func (a *API) CreateApp(ctx context.Context, app string, s AppSettings) error {
	return a.call(ctx, "app_create", struct {
		appRequest
		AppSettings
	}{appRequest{app}, s}, nil)
}

// UpdateApp replaces the settings of an App.
func (a *API) UpdateApp(ctx context.Context, app string, s AppSettings) error {
	return a.call(ctx, "app_update", struct {
		appRequest
		AppSettings
	}{appRequest{app}, s}, nil)
}

// RemoveApp removes an App with its keys and namespaces, and ends its sessions.
func (a *API) RemoveApp(ctx context.Context, app string) error {
	return a.call(ctx, "app_remove", appRequest{app}, nil)
}

// Keys lists the keys of an App; "": that of the key that asks, as everywhere below.
func (a *API) Keys(ctx context.Context, app string) ([]Key, error) {
	var reply struct {
		Keys []Key `json:"keys"`
	}
	err := a.call(ctx, "keys", appRequest{app}, &reply)
	return reply.Keys, err
}

// CreateKey makes a key with a scope: publish, read, admin or sign. id "": one is
// made up.
func (a *API) CreateKey(ctx context.Context, app, id, scope string) (NewKey, error) {
	var k NewKey
	err := a.call(ctx, "key_create", struct {
		appRequest
		ID    string `json:"id,omitempty"`
		Scope string `json:"scope"`
	}{appRequest{app}, id, scope}, &k)
	return k, err
}

// RotateKey gives a key another secret; the one before holds for overlap.
func (a *API) RotateKey(ctx context.Context, app, id string, overlap time.Duration) (NewKey, error) {
	var k NewKey
	err := a.call(ctx, "key_rotate", struct {
		appRequest
		ID      string `json:"id"`
		Overlap string `json:"overlap"`
	}{appRequest{app}, id, overlap.String()}, &k)
	return k, err
}

// RevokeKey withdraws a key.
func (a *API) RevokeKey(ctx context.Context, app, id string) error {
	return a.call(ctx, "key_revoke", struct {
		appRequest
		ID string `json:"id"`
	}{appRequest{app}, id}, nil)
}

// Namespaces lists the namespaces of an App.
func (a *API) Namespaces(ctx context.Context, app string) ([]Namespace, error) {
	var reply struct {
		Namespaces []Namespace `json:"namespaces"`
	}
	err := a.call(ctx, "namespaces", appRequest{app}, &reply)
	return reply.Namespaces, err
}

// SetNamespace makes or replaces a namespace, given as in the server's settings:
// {"name": "chat", "history_size": 100, "history_ttl": "1h"}.
func (a *API) SetNamespace(ctx context.Context, app string, namespace json.RawMessage) error {
	return a.call(ctx, "namespace_set", struct {
		appRequest
		Namespace json.RawMessage `json:"namespace"`
	}{appRequest{app}, namespace}, nil)
}

// RemoveNamespace removes a namespace.
func (a *API) RemoveNamespace(ctx context.Context, app, name string) error {
	return a.call(ctx, "namespace_remove", struct {
		appRequest
		Name string `json:"name"`
	}{appRequest{app}, name}, nil)
}
