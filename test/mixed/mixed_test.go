package mixed

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/server"
)

var (
	seed         = flag.Uint64("seed", rand.Uint64(), "what all random decisions come from")
	publications = flag.Int("publications", 10_000, "how many are published")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	channel   = "mixed-1"
	apiKey    = "mixed"
	appID     = "mixed-id"
	appKey    = "mixed-key"
	appSecret = "mixed-secret"

	// maxLife is how many bytes a connection lasts at most: some end in their
	// handshake, some after hundreds of publications.
	maxLife = 64 << 10

	timeout = 2 * time.Minute
	pageOf  = 1000 // publications in a page of history
)

// serverConfig keeps everything, so that the check can be complete.
const serverConfig = `
app:
  id: ` + appID + `
  key: ` + appKey + `
  secret: ` + appSecret + `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
limits:
  publishes_per_connection: 0
channel:
  namespaces:
    - name: mixed
      prefixes: ["mixed-"]
      history_size: 1000000
      history_ttl: 24h
      force_recovery: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      allow_publish_for_client: true
      allow_publish_for_anonymous: true
`

// run is one server with everybody who uses it.
type run struct {
	server *server.Server
	api    *server.API
	made   *ledger
	ready  sync.WaitGroup // until every listener has been subscribed once

	listeners  []*listener
	publishers []*publisher
}

// Every protocol is shown what every protocol publishes: the same publications, in
// the same order, with the same meaning, while connections are cut.
func TestMixedChannel(t *testing.T) {
	t.Logf("seed %d", *seed)
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	bin, err := server.Build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.Start(ctx, server.Options{Bin: bin, Dir: t.TempDir(), Config: serverConfig, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Kill()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	r := &run{server: srv, api: srv.API(&http.Client{Transport: transport}), made: &ledger{made: map[string]content{}}}
	r.listenAll()
	if err := r.addPublishers(ctx); err != nil {
		t.Fatal(err)
	}
	record, err := r.everybody(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Attr("summary", r.summary(time.Since(start)))
	if faults := check.Check(record); len(faults) > 0 {
		t.Errorf("%d faults, the record is in %s", len(faults), save(t, record))
		for _, f := range faults[:min(len(faults), 20)] {
			t.Error(f)
		}
	}
	if got := record.Channels[0].Top; got != uint64(*publications) {
		t.Errorf("the channel stands at %d after %d publications", got, *publications)
	}
	for _, l := range r.listeners {
		if l.network.cuts == 0 {
			t.Errorf("%s was never cut", l.name)
		}
	}
}

func (r *run) listenAll() {
	for i, l := range []*listener{
		{name: "Centrifuge in JSON", connect: overCentrifuge(inJSON)},
		{name: "Centrifuge in Protobuf", connect: overCentrifuge(inProtobuf)},
		{name: "EventSource", connect: overEvents},
		{name: "long poll", connect: overPolls},
		{name: "Pusher", connect: overPusher, live: true},
	} {
		l.run = r
		l.random = rand.New(rand.NewPCG(*seed, uint64(2*i)))
		l.network = newNetwork(rand.New(rand.NewPCG(*seed, uint64(2*i+1))), maxLife)
		r.listeners = append(r.listeners, l)
	}
	r.ready.Add(len(r.listeners))
}

func (r *run) addPublishers(ctx context.Context) error {
	for _, kind := range []struct {
		name  string
		count int
		make  func(context.Context, *run, string) (*publisher, error)
	}{{"api", 4, newAPIPublisher}, {"client", 3, newClientPublisher}, {"pusher", 3, newPusherPublisher}} {
		for i := range kind.count {
			p, err := kind.make(ctx, r, fmt.Sprintf("%s%d", kind.name, i))
			if err != nil {
				return err
			}
			r.publishers = append(r.publishers, p)
		}
	}
	return nil
}

// everybody listens, publishes, waits until all have seen the end, and gives what
// they saw.
func (r *run) everybody(ctx context.Context) (*check.Record, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	listening, leave := context.WithCancel(ctx)
	defer leave()
	var listeners, publishers sync.WaitGroup
	for _, l := range r.listeners {
		listeners.Go(func() {
			if err := l.listen(listening); err != nil {
				fail(err)
			}
		})
	}
	subscribed := make(chan struct{})
	go func() { r.ready.Wait(); close(subscribed) }()
	select {
	case <-subscribed:
	case <-ctx.Done():
		return nil, fmt.Errorf("not everybody was subscribed: %w", context.Cause(ctx))
	}
	for i, p := range r.publishers {
		count := (*publications + i) / len(r.publishers) // together all of them
		publishers.Go(func() {
			if err := p.publishAll(ctx, count); err != nil {
				fail(err)
			}
		})
	}
	publishers.Wait()
	history, err := r.history(ctx)
	if err == nil {
		r.drain(ctx, &history)
	}
	leave()
	listeners.Wait()
	if err := errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	return r.record(history), nil
}

// history reads the channel from its first publication to its last.
func (r *run) history(ctx context.Context) (check.Channel, error) {
	ch := check.Channel{Name: channel}
	request := map[string]any{"channel": channel, "limit": pageOf}
	for {
		var page struct {
			Publications []struct {
				plainMessage
			} `json:"publications"`
			Offset uint64 `json:"offset"`
			Epoch  string `json:"epoch"`
		}
		if err := r.api.Do(ctx, "history", request, &page); err != nil {
			return ch, err
		}
		ch.Epoch, ch.Top = page.Epoch, page.Offset
		for _, pub := range page.Publications {
			pub.Channel = channel
			c, err := pub.content()
			if err != nil {
				return ch, err
			}
			id, err := idOf(c.Data, c.Event)
			if err != nil {
				return ch, err
			}
			ch.Entries = append(ch.Entries, check.Entry{Offset: pub.Offset, ID: id, Sum: c.sum()})
		}
		n := len(ch.Entries)
		if len(page.Publications) == 0 || ch.Entries[n-1].Offset >= ch.Top {
			return ch, nil
		}
		request["since"] = map[string]any{"offset": ch.Entries[n-1].Offset, "epoch": ch.Epoch}
	}
}

// drain waits until every listener has seen the end; the check says who has not.
func (r *run) drain(ctx context.Context, ch *check.Channel) {
	ctx, cancel := context.WithTimeout(ctx, timeout/4)
	defer cancel()
	for _, l := range r.listeners {
		for !l.done(ch) && pause(ctx, 5*time.Millisecond) == nil {
		}
	}
}

// done says whether the listener has seen the channel's end, or was subscribed
// after it.
func (l *listener) done(ch *check.Channel) bool {
	latest := l.latest.Load()
	return l.stands.Load() >= ch.Top || l.live && latest != nil && *latest == ch.Entries[len(ch.Entries)-1].ID
}

func (r *run) record(history check.Channel) *check.Record {
	record := &check.Record{Channels: []check.Channel{history}}
	for _, p := range r.publishers {
		record.Publishers = append(record.Publishers, check.Publisher{Name: p.name, Acks: p.acks})
	}
	for _, l := range r.listeners {
		record.Subscribers = append(record.Subscribers, check.Subscriber{Name: l.name, Live: l.live, Channel: channel, Events: l.events})
	}
	return record
}

func (r *run) summary(took time.Duration) string {
	text := fmt.Sprintf("%d publications by three protocols", *publications)
	for _, l := range r.listeners {
		shown := 0
		for _, e := range l.events {
			if e.Entry != nil {
				shown++
			}
		}
		text += fmt.Sprintf("; %s: %d shown, %d cuts", l.name, shown, l.network.cuts)
	}
	return fmt.Sprintf("%s; in %s, seed %d", text, took.Round(time.Second), *seed)
}

func save(t *testing.T, record *check.Record) string {
	t.Helper()
	file := filepath.Join(os.TempDir(), "fanfare-mixed.json")
	data, err := json.Marshal(record)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
	return file
}
