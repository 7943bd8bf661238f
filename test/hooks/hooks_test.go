package hooks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

const timeout = 30 * time.Second

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("hooks")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// settings asks everything of one address. more are further lines below hooks.
func settings(url, more string) string {
	b := "log:\n  level: debug\napi:\n  key: hooks\nchannel:\n  namespaces:\n" +
		"    - name: hook\n      subscribe_proxy_enabled: true\n      publish_proxy_enabled: true\n" +
		"    - name: open\n      allow_subscribe_for_client: true\n" +
		"    - name: team\n      subscribe_proxy_enabled: true\n      publish_proxy_enabled: true\n      presence: true\n" +
		"      history_size: 10\n      history_ttl: 1h\n      history_durability: memory\n" + named(more) +
		"hooks:\n  secret: " + Secret + "\n  trusted_hosts: [127.0.0.1]\n  headers: [Cookie]\n" + more
	for _, hook := range []string{"connect", "subscribe", "publish", "rpc"} {
		b += fmt.Sprintf("  %s_url: %s/%s\n", hook, url, hook)
	}
	return b
}

// named has the namespace team ask the backend of that name where there is one.
func named(more string) string {
	if !strings.Contains(more, "name: team") {
		return ""
	}
	return "      subscribe_proxy_name: team\n      publish_proxy_name: team\n"
}

// client makes one that leaves no connection behind.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: timeout}
}

// place is a server with its backend.
type place struct {
	t   *testing.T
	ctx context.Context
	srv *server.Server
	*Backend
}

func start(t *testing.T, more string) *place {
	t.Helper()
	b := NewBackend()
	t.Cleanup(b.Stop)
	b.On("connect", JSON(`{"result":{"user":"ann"}}`))
	p := startAt(t, b.URL, more)
	p.Backend = b
	t.Cleanup(func() {
		if n := b.Forged.Load(); n > 0 {
			t.Errorf("%d calls are not signed as the documentation says", n)
		}
	})
	return p
}

func startAt(t *testing.T, url, more string) *place {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: settings(url, more), APIKey: "hooks"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Kill)
	return &place{t: t, ctx: ctx, srv: srv}
}

// dial opens a connection with a cookie.
func (p *place) dial(cookie string) *wire.Conn {
	p.t.Helper()
	c, err := wire.Dial(p.ctx, p.srv.WebSocketURL(), http.Header{"Cookie": {cookie}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Drop)
	return c
}

// connect is dial, and the connect that has to succeed.
func (p *place) connect() *wire.Conn {
	p.t.Helper()
	c := p.dial("sid=ann")
	if m := p.ask(c, 1, `"connect":{}`); m.Connect == nil {
		p.t.Fatalf("connect: %s", m.Raw)
	}
	return c
}

// ask sends a command and waits for its reply.
func (p *place) ask(c *wire.Conn, id uint32, command string) wire.Message {
	p.t.Helper()
	p.send(c, id, command)
	return p.reply(c, id)
}

func (p *place) send(c *wire.Conn, id uint32, command string) {
	p.t.Helper()
	if err := c.Send(p.ctx, fmt.Sprintf(`{"id":%d,%s}`, id, command)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) reply(c *wire.Conn, id uint32) wire.Message {
	p.t.Helper()
	m, err := c.Reply(p.ctx, id)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// temporary wants the error that has a client try again.
func (p *place) temporary(what string, m *wire.Message) {
	p.t.Helper()
	if m.Error == nil || m.Error.Code != 100 || !m.Error.Temporary {
		p.t.Errorf("%s: %s", what, m.Raw)
	}
}

// metric waits until one series has a value.
func (p *place) metric(series, value string) {
	p.t.Helper()
	for ctx := p.ctx; ctx.Err() == nil; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.srv.Addr()+"/metrics", http.NoBody)
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("X-API-Key", "hooks")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if strings.Contains(string(body), "\n"+series+" "+value+"\n") {
			http.DefaultClient.CloseIdleConnections()
			return
		}
	}
	p.t.Errorf("%s is never %s", series, value)
}

func TestYes(t *testing.T) {
	p := start(t, "")
	p.On("connect", func(w http.ResponseWriter, q *Question) {
		if q.Header.Get("Cookie") == "sid=ann" && string(q.Data) == `{"page":1}` {
			JSON(`{"result":{"user":"ann","data":{"hello":"ann"},"subs":{"open:x":{"data":7}}}}`)(w, q)
		}
	})
	p.On("subscribe", func(w http.ResponseWriter, q *Question) {
		if q.User == "ann" && q.Channel == "hook:a" {
			JSON(`{"result":{"data":"welcome"}}`)(w, q)
		}
	})
	p.On("publish", JSON(`{"result":{"data":{"checked":true}}}`))
	p.On("rpc", func(w http.ResponseWriter, q *Question) { JSON(`{"result":{"data":"`+q.Method+`"}}`)(w, q) })
	c := p.dial("sid=ann")
	for i, step := range []struct{ command, want string }{
		{`"connect":{"data":{"page":1}}`, `"data":{"hello":"ann"},"subs":{"open:x":{"data":7}}`},
		{`"subscribe":{"channel":"hook:a"}`, `"data":"welcome"`},
		{`"publish":{"channel":"hook:a","data":"rude"}`, `"publish":{}`},
		{`"rpc":{"method":"m"}`, `"rpc":{"data":"m"}`},
	} {
		p.send(c, uint32(i+1), step.command)
		m, err := c.Next(p.ctx)
		for ; err == nil && m.ID == 0; m, err = c.Next(p.ctx) {
			if string(m.Push.Pub.Data) != `{"checked":true}` {
				t.Errorf("published %s", m.Raw)
			}
		}
		if err != nil || !strings.Contains(string(m.Raw), step.want) {
			t.Errorf("%s: %s, %v; want %s", step.command, m.Raw, err, step.want)
		}
	}
}

// Whatever a client comes through, its backend is told what, with its cookie, and the
// client is told what the backend says.
func TestEveryTransport(t *testing.T) {
	p := start(t, "")
	for path, want := range map[string]struct{ transport, body, told string }{
		"/connection/http_stream":             {"http_stream", `{"id":1,"connect":{}}`, `"data":"hi"`},
		"/connection/sse?cf_connect=":         {"sse", `{"id":1,"connect":{}}`, `"data":"hi"`},
		"/connection/uni_http_stream":         {"uni_http_stream", `{"subs":{"hook:a":{}}}`, `"subs":{"hook:a"`},
		"/connection/uni_sse?cf_uni_connect=": {"uni_sse", `{"subs":{"hook:a":{}}}`, `"subs":{"hook:a"`},
		"/sse?channel=hook:a":                 {"sse", "", "event: subscribed"},
		"/poll?wait=0&channel=hook:a":         {"long_poll", "", `{"messages":[]`},
	} {
		p.On("connect", func(w http.ResponseWriter, q *Question) {
			if q.Header.Get("Cookie") == "sid=ann" && q.Transport == want.transport && q.Protocol == "json" {
				JSON(`{"result":{"user":"ann","data":"hi"}}`)(w, q)
			}
		})
		p.On("subscribe", func(w http.ResponseWriter, q *Question) {
			if q.Header.Get("Cookie") == "sid=ann" && q.User == "ann" {
				JSON(`{"result":{}}`)(w, q)
			}
		})
		if told := p.stream(path, want.body, want.told); !strings.Contains(told, want.told) {
			t.Errorf("%s: %s", path, told)
		}
	}
}

// stream makes a request with a cookie and reads its response until it holds text.
func (p *place) stream(path, body, text string) string {
	p.t.Helper()
	method, url := http.MethodGet, "http://"+p.srv.Addr()+path
	if strings.HasSuffix(path, "=") {
		url, body = url+neturl.QueryEscape(body), ""
	}
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(p.ctx, method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Cookie", "sid=ann")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var told []byte
	for buf := make([]byte, 4<<10); err == nil && !strings.Contains(string(told), text); {
		var n int
		n, err = res.Body.Read(buf)
		told = append(told, buf[:n]...)
	}
	return string(told)
}

func TestNo(t *testing.T) {
	p := start(t, "")
	p.On("connect", JSON(`{"error":{"code":401,"message":"who?"}}`))
	if m := p.ask(p.dial(""), 1, `"connect":{}`); m.Error == nil || *m.Error != (wire.Error{Code: 401, Message: "who?"}) {
		t.Errorf("connect: %s", m.Raw)
	}
	p.On("connect", JSON(`{"disconnect":{"code":4501,"reason":"go"}}`))
	c := p.dial("")
	p.send(c, 1, `"connect":{}`)
	var closed *wire.Closed
	if _, err := c.Next(p.ctx); !errors.As(err, &closed) || closed.Code != 4501 || closed.Reason != "go" {
		t.Errorf("connect: %v", err)
	}
	p.On("connect", JSON(`{"result":{"user":"ann","expire_at":1}}`))
	if m := p.ask(p.dial(""), 1, `"connect":{}`); m.Error == nil || m.Error.Code != 110 {
		t.Errorf("expired: %s", m.Raw)
	}
	p.On("connect", JSON(`{"result":{"user":"ann"}}`))
	for hook, command := range map[string]string{
		"subscribe": `"subscribe":{"channel":"hook:a"}`, "publish": `"publish":{"channel":"hook:a","data":1}`, "rpc": `"rpc":{"method":"m"}`,
	} {
		p.On(hook, JSON(`{"error":{"code":403,"message":"no","temporary":true}}`))
		c := p.connect()
		if m := p.ask(c, 2, command); m.Error == nil || *m.Error != (wire.Error{Code: 403, Message: "no", Temporary: true}) {
			t.Errorf("%s: %s", hook, m.Raw)
		}
		p.On(hook, JSON(`{"disconnect":{"code":4000,"reason":"later"}}`))
		p.send(c, 3, command)
		if _, err := c.Next(p.ctx); !errors.As(err, &closed) || closed.Code != 4000 {
			t.Errorf("%s: %v", hook, err)
		}
	}
	if out := p.srv.Output(); !strings.Contains(out, `rule="refused by the backend's hook"`) || strings.Contains(out, Secret) {
		t.Errorf("the log does not name the rule, or tells the secret:\n%s", out)
	}
	// The same over plain HTTP: the code decides whether a client may come back.
	for answer, status := range map[string]int{
		`{"error":{"code":404,"message":"no"}}`:     http.StatusForbidden,
		`{"disconnect":{"code":4501,"reason":"x"}}`: http.StatusForbidden,
		`nonsense`: http.StatusInternalServerError,
	} {
		p.On("connect", JSON(answer))
		req, err := http.NewRequestWithContext(p.ctx, http.MethodGet, "http://"+p.srv.Addr()+"/poll?channel=open:a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", answer, res.StatusCode, status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A slow backend costs who asks it the timeout, and nobody anything else.
func TestSlow(t *testing.T) {
	p := start(t, "  subscribe_timeout: 500ms\n  connect_timeout: 500ms\n")
	c := p.connect()
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	slow := func(http.ResponseWriter, *Question) { <-gone }
	p.On("subscribe", slow)
	p.send(c, 2, `"subscribe":{"channel":"hook:a"}`)
	// Had the reply to 2 come first, it would be lost here, and missed below.
	if m := p.ask(c, 3, `"subscribe":{"channel":"open:a"}`); m.Subscribe == nil {
		t.Errorf("meanwhile: %s", m.Raw)
	}
	m := p.reply(c, 2)
	p.temporary("subscribe", &m)
	p.On("subscribe", JSON(`{"result":{}}`))
	if m := p.ask(c, 4, `"subscribe":{"channel":"hook:a"}`); m.Subscribe == nil {
		t.Errorf("afterwards: %s", m.Raw)
	}
	p.On("connect", slow)
	other := p.dial("")
	m = p.ask(other, 1, `"connect":{}`)
	p.temporary("connect", &m)
	p.metric(`fanfare_hook_calls_total{hook="connect",outcome="timeout"}`, "1")
	// What is under way does not hold up a stop.
	p.On("rpc", slow)
	p.send(c, 5, `"rpc":{"method":"m"}`)
	p.metric("fanfare_hooks_in_flight", "1")
	c.Drop() // neither reads what the server says when it stops
	other.Drop()
	if code, err := p.srv.Stop(p.ctx); code != 0 || err != nil {
		t.Errorf("stopped with %d, %v", code, err)
	}
}

// A dead backend is asked a few times and then left alone, hook by hook.
func TestDead(t *testing.T) {
	p := startAt(t, "http://"+unused(t), "  breaker_failures: 3\n  breaker_pause: 10m\n")
	for range 5 {
		m := p.ask(p.dial(""), 1, `"connect":{}`)
		p.temporary("connect", &m)
	}
	p.metric(`fanfare_hook_calls_total{hook="connect",outcome="unreachable"}`, "3")
	p.metric(`fanfare_hook_calls_total{hook="connect",outcome="breaker_open"}`, "2")
	p.metric(`fanfare_hook_breaker_state{hook="connect"}`, "1")
	p.metric(`fanfare_hook_breaker_state{hook="rpc"}`, "0")
}

// One that is back is found after the pause.
func TestBack(t *testing.T) {
	addr := unused(t)
	p := startAt(t, "http://"+addr, "  breaker_failures: 1\n  breaker_pause: 100ms\n")
	m := p.ask(p.dial(""), 1, `"connect":{}`)
	p.temporary("connect", &m)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &Backend{answers: map[string]Answer{"connect": JSON(`{"result":{"user":"ann"}}`)}}
	b.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: b, ReadHeaderTimeout: timeout}}
	b.Start()
	t.Cleanup(b.Stop)
	for p.ask(p.dial(""), 1, `"connect":{}`).Connect == nil {
		if p.ctx.Err() != nil {
			t.Fatal("it is not asked again")
		}
	}
	p.metric(`fanfare_hook_breaker_state{hook="connect"}`, "0")
}

// unused is an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Whatever a backend answers, a client is told that there is no answer, and the next
// true one counts.
func TestLies(t *testing.T) {
	p := start(t, "  max_reply_size: 4KiB\n")
	c := p.connect()
	lies := map[string]Answer{
		"nothing": JSON(""), "no JSON": JSON("<html>"), "null": JSON("null"), "no result": JSON("{}"), "a list": JSON("[]"),
		"wrong types": JSON(`{"result":{"expire_at":"soon","data":1}}`), "no UTF-8": JSON("{\"result\":{\"data\":\"\xff\"}}"),
		"two lines of the protocol": JSON("{\"result\":{\"data\":1}}\n{\"push\":{}}"),
		"huge":                      JSON(`{"result":{"data":"` + strings.Repeat("x", 8<<10) + `"}}`),
		"endless": func(w http.ResponseWriter, _ *Question) {
			for _, err := w.Write(make([]byte, 1<<10)); err == nil; {
				_, err = w.Write(make([]byte, 1<<10))
			}
		},
		"deep": JSON(strings.Repeat("[", 4000)), "a code of the protocol": JSON(`{"disconnect":{"code":3500,"reason":"x"}}`),
		"an error without code": JSON(`{"error":{"message":"x"}}`),
		"a status":              func(w http.ResponseWriter, _ *Question) { w.WriteHeader(http.StatusTeapot) },
		"half": func(w http.ResponseWriter, _ *Question) {
			w.Header().Set("Content-Length", "100")
			JSON(`{"result"`)(w, nil)
		},
	}
	id := uint32(1)
	for name, lie := range lies {
		for hook, command := range map[string]string{
			"subscribe": `"subscribe":{"channel":"hook:a"}`, "publish": `"publish":{"channel":"hook:a","data":1}`, "rpc": `"rpc":{"method":"m"}`,
		} {
			id++
			p.On(hook, lie)
			m := p.ask(c, id, command)
			p.temporary(hook+", "+name, &m)
		}
	}
	p.On("rpc", JSON("{\"result\":\n{\"data\":\n\"true\"}}"))
	if m := p.ask(c, id+1, `"rpc":{"method":"m"}`); string(m.Raw) != fmt.Sprintf(`{"id":%d,"rpc":{"data":"true"}}`, id+1) {
		t.Errorf("afterwards: %s", m.Raw)
	}
}

// A backend cannot send the server elsewhere, not even to a host that it may call.
func TestRedirects(t *testing.T) {
	inside := NewBackend()
	t.Cleanup(inside.Stop)
	p := start(t, "")
	c := p.connect()
	for i, status := range []int{301, 302, 303, 307, 308} {
		p.On("rpc", func(w http.ResponseWriter, _ *Question) {
			w.Header().Set("Location", inside.URL+"/rpc")
			w.WriteHeader(status)
		})
		m := p.ask(c, uint32(i+2), `"rpc":{"method":"m"}`)
		p.temporary(fmt.Sprint(status), &m)
	}
	if n := inside.Calls.Load(); n > 0 {
		t.Errorf("it was called %d times", n)
	}
}

// A backend's name that has come to lead inside is not asked: whoever has the name
// would have the server send what clients say, and its signature, where they like.
func TestNameThatLeadsInside(t *testing.T) {
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	t.Cleanup(inside.Close)
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	p := startAt(t, "https://localhost:"+port, "")
	c := p.dial("sid=ann")
	m := p.ask(c, 1, `"connect":{}`)
	p.temporary("connect", &m)
	p.metric(`fanfare_hook_calls_total{hook="connect",outcome="address"}`, "1")
}

// What makes no sense is refused before anything starts, in words that help.
func TestConfigCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		want   []string
	}{
		"plain HTTP":           {"hooks:\n  connect_url: http://backend.example.org/x\n", []string{"hooks.connect_url", "https", "hooks.trusted_hosts"}},
		"an address inside":    {"hooks:\n  rpc_url: https://10.0.0.1/x\n", []string{"hooks.rpc_url", "not public", "hooks.trusted_hosts"}},
		"no URL":               {"hooks:\n  publish_url: backend\n", []string{"hooks.publish_url"}},
		"a password in it":     {"hooks:\n  publish_url: https://u:hush@example.org/\n", []string{"hooks.publish_url"}},
		"a timeout too long":   {"hooks:\n  connect_timeout: 1h\n", []string{"hooks.connect_timeout", "50ms to 30s"}},
		"a header of ours":     {"hooks:\n  headers: [X-Fanfare-Signature]\n", []string{"hooks.headers", "X-Fanfare-Signature"}},
		"a header of the call": {"hooks:\n  client_headers: [host]\n", []string{"hooks.client_headers", "Host"}},
		"nobody to ask":        {"channel:\n  namespaces:\n    - name: chat\n      subscribe_proxy_enabled: true\n", []string{"chat", "subscribe_proxy_enabled", "hooks.subscribe_url"}},
		"nobody to ask, bare":  {"channel:\n  without_namespace:\n    publish_proxy_enabled: true\n", []string{"without_namespace", "hooks.publish_url"}},
		"a name nobody has":    {"channel:\n  namespaces:\n    - name: chat\n      subscribe_proxy_name: team-b\nhooks:\n  backends: [{name: team-a, url: 'https://example.org/'}]\n", []string{"chat", "subscribe_proxy_name", "team-b", "hooks.backends"}},
		"a name taken twice":   {"hooks:\n  backends: [{name: aa, url: 'https://example.org/'}, {name: aa, url: 'https://example.org/'}]\n", []string{"hooks.backends", "aa", "twice"}},
		"a backend inside":     {"hooks:\n  backends: [{name: aa, url: 'http://10.0.0.1/', timeout: 1h}]\n", []string{"hooks.backends", "aa", "https", "hooks.trusted_hosts", "timeout"}},
		"a reserved name":      {"hooks:\n  backends: [{name: default, url: 'https://example.org/'}]\n", []string{"hooks.backends", "default", "another name"}},
		"a misspelt backend":   {"hooks:\n  backends: [{name: aa, uri: x}]\n", []string{"hooks.backends[aa].uri", "hooks.backends[aa].url"}},
		"misspelt":             {"hooks:\n  conect_url: x\n", []string{"conect_url", "connect_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, err := server.Run(ctx, server.Options{Bin: bin, Dir: dir}, "config", "check", "--config", "x.yaml")
			if err != nil || code != 1 || strings.Contains(out, "hush") {
				t.Errorf("exit code %d, %v:\n%s", code, err, out)
			}
			for _, word := range tt.want {
				if !strings.Contains(out, word) {
					t.Errorf("does not say %q:\n%s", word, out)
				}
			}
		})
	}
}
