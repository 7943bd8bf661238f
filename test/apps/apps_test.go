package apps

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	operatorKey = "the operator's key, 0123456789abcdef"
	timeout     = 20 * time.Second
)

// settings have no App but the default one, which may be nobody's.
const settings = `
api: {key: "` + operatorKey + `"}
app: {id: "1", key: defaultkey, secret: 0123456789abcdef0123456789abcdef}
pusher: {client_events: true}
`

var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("apps")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// house is a server and how to ask it.
type house struct {
	*server.Server

	t      *testing.T
	dir    string
	env    []string
	client *http.Client
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), client: &http.Client{Transport: &http.Transport{}}}
	h.start()
	t.Cleanup(func() { h.Kill(); h.client.CloseIdleConnections() })
	return h
}

func (h *house) start() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), timeout)
	defer cancel()
	var err error
	if h.Server, err = server.Start(ctx, server.Options{Bin: bin, Dir: h.dir, Config: settings, Env: h.env, APIKey: operatorKey}); err != nil {
		h.t.Fatal(err)
	}
}

// as calls the server API with a key.
func (h *house) as(key string) *server.API {
	return &server.API{Client: h.client, Addr: h.Addr(), Key: key}
}

// must is a call that succeeds.
func (h *house) must(key, method, body string, result any) {
	h.t.Helper()
	if err := h.as(key).Do(h.t.Context(), method, json.RawMessage(body), result); err != nil {
		h.t.Fatalf("%s %s: %v", method, body, err)
	}
}

// refused is a call that does not, and the code of its error.
func (h *house) refused(key, method, body string) int {
	h.t.Helper()
	reply, err := h.as(key).Post(h.t.Context(), method, []byte(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if reply.Error == nil {
		return 0
	}
	return reply.Error.Code
}

// app is a tenant and its keys.
type app struct {
	h                  *house
	name               string
	signID, signSecret string
	keys               map[string]string // secrets by scope
}

// createApp makes a tenant as an operator would.
func (h *house) createApp(name, limits string) *app {
	h.t.Helper()
	a := &app{h: h, name: name, keys: map[string]string{}}
	h.must(operatorKey, "app_create", `{"app":"`+name+`"`+limits+`}`, nil)
	var made struct{ ID, Secret string }
	for _, scope := range []string{"publish", "read", "admin", "sign"} {
		h.must(operatorKey, "key_create", `{"app":"`+name+`","scope":"`+scope+`"}`, &made)
		a.keys[scope] = made.Secret
	}
	a.signID, a.signSecret = made.ID, made.Secret
	h.must(a.keys["admin"], "namespace_set", `{"namespace":{"name":"chat","prefixes":["room"],"presence":true,"join_leave":true,`+
		`"history_size":100,"history_ttl":"1h","force_recovery":true,"allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true,"allow_publish_for_subscriber":true,`+
		`"allow_history_for_subscriber":true,"allow_presence_for_subscriber":true}}`, nil)
	return a
}

// token is a connection token of the tenant that brings a subscription.
func (a *app) token(user string) string {
	return a.sign(jwt.MapClaims{"sub": user, "channels": []string{"room"}})
}

func (a *app) sign(claims jwt.MapClaims) string {
	a.h.t.Helper()
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(a.signSecret))
	if err != nil {
		a.h.t.Fatal(err)
	}
	return text
}

// mac is Pusher's signature.
func (a *app) mac(text string) string {
	m := hmac.New(sha256.New, []byte(a.signSecret))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// pusher asks Pusher's HTTP API of an App, signed by a.
func (a *app) pusher(method, of, path, body string, query url.Values) (status int, reply string) {
	a.h.t.Helper()
	if query == nil {
		query = url.Values{}
	}
	query.Set("auth_key", a.signID)
	query.Set("auth_timestamp", fmt.Sprint(time.Now().Unix()))
	query.Set("auth_version", "1.0")
	if body != "" {
		sum := md5.Sum([]byte(body))
		query.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	full := "/apps/" + of + path
	query.Set("auth_signature", a.mac(method+"\n"+full+"\n"+query.Encode()))
	req, err := http.NewRequestWithContext(a.h.t.Context(), method, "http://"+a.h.Addr()+full+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		a.h.t.Fatal(err)
	}
	res, err := a.h.client.Do(req)
	if err != nil {
		a.h.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// heard is everything that a connection was told.
type heard struct {
	t    *testing.T
	mu   sync.Mutex
	text strings.Builder
	grew chan struct{}
	over bool
}

func hear(t *testing.T) *heard {
	t.Helper()
	return &heard{t: t, grew: make(chan struct{}, 1)}
}

func (h *heard) add(text string, over bool) {
	h.mu.Lock()
	h.text.WriteString(text + "\n")
	h.over = h.over || over
	h.mu.Unlock()
	select {
	case h.grew <- struct{}{}:
	default:
	}
}

// await waits for a text and gives everything until then.
func (h *heard) await(text string) string {
	h.t.Helper()
	after := time.After(timeout)
	for {
		h.mu.Lock()
		all, over := h.text.String(), h.over
		h.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		if over {
			h.t.Fatalf("it ended without %q: %s", text, all)
		}
		select {
		case <-h.grew:
		case <-after:
			h.t.Fatalf("waited in vain for %q: %s", text, all)
		}
	}
}

// listen opens a WebSocket, says something, and hears the rest.
func (h *house) listen(path string, say ...string) (*heard, *wire.Conn) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, err := wire.Dial(ctx, "ws://"+h.Addr()+path, nil)
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	for _, text := range say {
		if err := c.Send(ctx, text); err != nil {
			h.t.Fatal(err)
		}
	}
	to := hear(h.t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := c.Next(ctx)
			if err != nil {
				to.add(err.Error(), true)
				return
			}
			to.add(string(m.Raw), false)
		}
	}()
	h.t.Cleanup(func() { cancel(); c.Drop(); <-done })
	return to, c
}

// stream begins a request and hears its response.
func (h *house) stream(method, path, body string, header ...string) *heard {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, method, "http://"+h.Addr()+path, strings.NewReader(body))
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	to := hear(h.t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err := h.client.Do(req)
		if err != nil {
			to.add(err.Error(), true)
			return
		}
		defer func() { _ = res.Body.Close() }()
		to.add(res.Status, false)
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			to.add(lines.Text(), false)
		}
		to.add("end", true)
	}()
	h.t.Cleanup(func() { cancel(); <-done })
	return to
}
