package move

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
)

const (
	operatorKey = "the operator's key, 0123456789abcdef"
	patience    = 90 * time.Second // for what must happen
)

// settings of the node and of the cluster's nodes are the same, as they should be.
const settings = `
api: {key: "` + operatorKey + `"}
client: {allow_anonymous: true}
channel:
  without_namespace:
    history_size: 5000
    history_ttl: 1h
    force_recovery: true
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
`

var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("move")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// within is a context that ends with the test's patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Bin, o.Config, o.APIKey = bin, settings, operatorKey
	s, err := server.Start(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// api calls a server with a key.
func api(t *testing.T, s *server.Server, key string) *client.API {
	t.Helper()
	a, err := client.NewAPIWith(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, s.Addr(), key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// startCluster starts three nodes with directories of their own, and waits until they
// are ready.
func startCluster(t *testing.T) (nodes [trio.Size]*server.Server, c *trio.Trio) {
	t.Helper()
	c, err := trio.New(within(t), trio.Config{Bin: bin, Dir: t.TempDir(), Settings: settings, APIKey: operatorKey})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range nodes {
		must(t, c.Start(within(t), i))
		nodes[i] = c.Server(i)
	}
	must(t, c.AwaitReady(within(t)))
	return nodes, c
}

// eventually waits until cond holds; its text says what it sees.
func eventually(t *testing.T, what string, cond func() (bool, string)) {
	t.Helper()
	_, err := trio.Await(within(t), what, cond)
	must(t, err)
}

// run runs a command of the binary.
func run(t *testing.T, args ...string) (code int, printed string) {
	t.Helper()
	code, printed, err := server.Run(within(t), server.Options{Bin: bin, Dir: t.TempDir()}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return code, printed
}

// importTo moves what a node had in its working directory.
func importTo(t *testing.T, s *server.Server, dir string) (code int, printed string) {
	t.Helper()
	return run(t, "cluster", "import", "--from", filepath.Join(dir, "data"), "--server", s.Addr(), "--api-key", operatorKey)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// publish publishes numbers, and gives the position of the last.
func publish(t *testing.T, a *client.API, channel string, numbers ...int) (at client.Position) {
	t.Helper()
	for _, n := range numbers {
		p, err := a.Publish(within(t), client.Message{Channel: channel, Data: json.RawMessage(fmt.Sprint(n)), Tags: map[string]string{"n": fmt.Sprint(n)}})
		must(t, err)
		at = p.Position
	}
	return at
}

// history is all of a channel, as text that can be compared.
func history(t *testing.T, a *client.API, channel string) string {
	t.Helper()
	h, err := a.History(within(t), channel, client.HistoryQuery{Limit: -1})
	must(t, err)
	text, err := json.Marshal(h)
	must(t, err)
	return string(text)
}

func numbers(from, to int) (list []int) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}
