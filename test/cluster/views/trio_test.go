package views

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	apiKey  = "views"
	secret  = "views-secret"
	timeout = 90 * time.Second
)

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("views")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

const settings = `
app: {id: views, key: views, secret: ` + secret + `}
api: {key: ` + apiKey + `}
limits: {connections_per_user: 3}
pusher: {subscription_count: true}
webhook:
  urls: ["%s"]
  trusted_hosts: [127.0.0.1]
  debounce: 500ms
  events: [connected, disconnected, subscribed, unsubscribed, published, channel_occupied, channel_vacated, member_added, member_removed]
channel:
  without_namespace:
    history_size: 1000
    history_ttl: 1h
    presence: true
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
    allow_publish_for_client: true
`

// trio is a cluster of three.
type trio struct {
	t       *testing.T
	ctx     context.Context
	client  *http.Client
	backend *backend
	nodes   []*server.Server
	opts    []server.Options
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*timeout)
	t.Cleanup(cancel)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &trio{t: t, ctx: ctx, client: &http.Client{Transport: transport, Timeout: timeout}, backend: newBackend()}
	receiver := httptest.NewServer(c.backend)
	t.Cleanup(receiver.Close)
	ports := freePorts(t, 3)
	for i, own := range ports {
		var peers []string
		for _, p := range ports {
			if p != own {
				peers = append(peers, p)
			}
		}
		c.opts = append(c.opts, server.Options{
			Bin: bin, Dir: t.TempDir(), Config: fmt.Sprintf(settings, receiver.URL), APIKey: apiKey,
			Env:  []string{"FANFARE_CLUSTER_SECRET=0123456789abcdef0123456789abcdef"},
			Args: []string{"--cluster", "views", "--node", fmt.Sprintf("n%d", i+1), "--cluster-listen", own, "--cluster-peers", strings.Join(peers, ",")},
		})
		c.nodes = append(c.nodes, nil)
		c.start(i)
	}
	for i := range c.nodes {
		c.eventually("node "+fmt.Sprint(i+1)+" is ready", func() bool { return c.status(c.url(i)+"/ready") == http.StatusOK })
	}
	return c
}

func (c *trio) start(i int) {
	c.t.Helper()
	srv, err := server.Start(c.ctx, c.opts[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = srv
	c.t.Cleanup(func() {
		srv.Kill()
		if c.t.Failed() {
			c.t.Logf("node %d:\n%s", i+1, srv.Output())
		}
	})
}

func freePorts(t *testing.T, n int) (list []string) {
	t.Helper()
	taken := make([]net.Listener, 0, n)
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, l)
	}
	for _, l := range taken {
		list = append(list, l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func (c *trio) url(i int) string { return "http://" + c.nodes[i].Addr() }

func (c *trio) status(url string) int {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// eventually waits for what must come to be.
func (c *trio) eventually(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(timeout)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("it does not come to be that %s", what)
		}
	}
}

// ask calls the server API of a node.
func (c *trio) ask(i int, method string, request, result any) error {
	return c.nodes[i].API(c.client).Do(c.ctx, method, request, result)
}

// do is ask where nothing may go wrong.
func (c *trio) do(i int, method string, request, result any) {
	c.t.Helper()
	if err := c.ask(i, method, request, result); err != nil {
		c.t.Fatalf("node %d: %v", i+1, err)
	}
}

func token(user string) string {
	part := func(v any) string {
		data, _ := json.Marshal(v) // maps of texts and numbers
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// connect connects a user to a node; an error is the server's.
func (c *trio) connect(i int, user string) (*wire.Conn, string, error) {
	c.t.Helper()
	conn, err := wire.Dial(c.ctx, c.nodes[i].WebSocketURL(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Drop)
	if err := conn.Send(c.ctx, `{"id":1,"connect":{"token":"`+token(user)+`"}}`); err != nil {
		return nil, "", err
	}
	m, err := conn.Reply(c.ctx, 1)
	if err != nil {
		return nil, "", err
	}
	if m.Connect == nil {
		return nil, "", fmt.Errorf("connect: %s", m.Raw)
	}
	return conn, m.Connect.Client, nil
}

// join connects a user and subscribes to channels.
func (c *trio) join(i int, user string, channels ...string) (*wire.Conn, string) {
	c.t.Helper()
	conn, client, err := c.connect(i, user)
	if err != nil {
		c.t.Fatalf("%s on node %d: %v", user, i+1, err)
	}
	for n, ch := range channels {
		id := uint32(n + 2)
		err := conn.Send(c.ctx, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q}}`, id, ch))
		if err == nil {
			var m wire.Message
			if m, err = conn.Reply(c.ctx, id); err == nil && m.Subscribe == nil {
				err = fmt.Errorf("%s", m.Raw)
			}
		}
		if err != nil {
			c.t.Fatalf("subscribe to %s: %v", ch, err)
		}
	}
	return conn, client
}

// pusherGet asks Pusher's HTTP API of a node.
func (c *trio) pusherGet(i int, path string, query map[string]string, result any) {
	c.t.Helper()
	v := url.Values{"auth_key": {"views"}, "auth_timestamp": {fmt.Sprint(time.Now().Unix())}, "auth_version": {"1.0"}}
	for key, value := range query {
		v.Set(key, value)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	plain, _ := url.QueryUnescape(v.Encode())
	mac.Write([]byte("GET\n" + path + "\n" + plain))
	v.Set("auth_signature", hex.EncodeToString(mac.Sum(nil)))
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, c.url(i)+path+"?"+v.Encode(), http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(result); err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: HTTP %d, %v", path, res.StatusCode, err)
	}
}
