package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follower hears of publications and does nothing.
type follower struct{ engine.Follower }

func (follower) Publication(channel.ID, string, *engine.Publication) {}

// openEngine opens the engine of a directory, until close or the end of the test.
func openEngine(t *testing.T, dir string) (e *local.Engine, closeIt func()) {
	t.Helper()
	return openConfigured(t, local.Config{Dir: dir})
}

func openConfigured(t *testing.T, cfg local.Config) (e *local.Engine, closeIt func()) {
	t.Helper()
	e, err := local.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.Attach(follower{})
	once := sync.OnceFunc(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(once)
	return e, once
}

func open(t *testing.T, cfg Config) *Registry {
	t.Helper()
	if cfg.Fixed == nil {
		cfg.Fixed = []*App{{Name: channel.DefaultApp, Fixed: true, Keys: []Key{FixedKey("api.key", Operator, "the operator's")}}}
	}
	r, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dump is everything that a Registry knows.
func dump(t *testing.T, r *Registry) string {
	t.Helper()
	text, err := json.MarshalIndent(r.Apps(), "", " ")
	must(t, err)
	return string(text)
}

// make creates an App with keys and namespaces.
func furnish(t *testing.T, r *Registry, app string) (publish, sign string) {
	t.Helper()
	ctx := t.Context()
	must(t, r.Do(ctx, Change{App: app, Create: &Settings{Connections: 3}}))
	_, publish, err := r.CreateKey(ctx, app, app+"-publish", Publish)
	must(t, err)
	_, sign, err = r.CreateKey(ctx, app, app+"-sign", Sign)
	must(t, err)
	must(t, r.Do(ctx, Change{App: app, SetNamespace: &channel.Namespace{Name: "chat", Options: channel.Options{Presence: true}}}))
	return publish, sign
}

// What was changed is there after a restart, and in every other Registry of the
// same log.
func TestChangesAreKept(t *testing.T) {
	dir := t.TempDir()
	e, closeIt := openEngine(t, dir)
	r, other := open(t, Config{Log: e}), open(t, Config{Log: e})
	publish, _ := furnish(t, r, "shop")
	must(t, r.Do(t.Context(), Change{App: channel.DefaultApp, SetNamespace: &channel.Namespace{Name: "news"}}))
	furnish(t, r, "gone")
	must(t, r.Do(t.Context(), Change{App: "gone", Remove: true}))
	want := dump(t, r)
	must(t, other.Refresh(t.Context()))
	if got := dump(t, other); got != want {
		t.Errorf("another has\n%s, want\n%s", got, want)
	}
	closeIt()
	e, _ = openEngine(t, dir)
	r = open(t, Config{Log: e})
	if got := dump(t, r); got != want {
		t.Errorf("after a restart\n%s, want\n%s", got, want)
	}
	if app, k, found := r.Caller(publish); !found || app.Name != "shop" || k.Scope != Publish {
		t.Errorf("the key is %v of %v", k, app)
	}
	if err := r.Do(t.Context(), Change{App: "gone", Create: &Settings{}}); !errors.Is(err, ErrExists) {
		t.Errorf("a name is used again: %v", err)
	}
}

// Where less space is free than is kept in reserve, nothing is made any more, but what
// there is can be taken away, for good.
func TestRevocationsNeedNoSpace(t *testing.T) {
	dir := t.TempDir()
	e, closeIt := openEngine(t, dir)
	r, ctx := open(t, Config{Log: e}), t.Context()
	publish, _ := furnish(t, r, "shop")
	_, stays := furnish(t, r, "news")
	furnish(t, r, "gone")
	closeIt()

	e, closeIt = openConfigured(t, local.Config{Dir: dir, ReserveBytes: 1 << 50})
	if s := e.Status(); s.Ready || !strings.Contains(s.Reason, "no space") {
		t.Fatalf("%+v", s)
	}
	r = open(t, Config{Log: e})
	before := dump(t, r)
	for what, c := range map[string]Change{
		"an app":      {App: "more", Create: &Settings{}},
		"settings":    {App: "news", Update: &Settings{Connections: 9}},
		"a namespace": {App: "news", SetNamespace: &channel.Namespace{Name: "more"}},
		"a secret":    {App: "news", RotateKey: &Rotation{ID: "news-sign", Secret: Secret{Text: strings.Repeat("s", MinSecret)}}},
	} {
		if err := r.Do(ctx, c); !errors.Is(err, engine.ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := dump(t, r); got != before {
		t.Errorf("what is refused changed\n%s to\n%s", before, got)
	}
	must(t, r.Do(ctx, Change{App: "shop", RevokeKey: "shop-publish"}))
	must(t, r.Do(ctx, Change{App: "news", RemoveNamespace: r.App("news").Namespaces[0].Name}))
	must(t, r.Do(ctx, Change{App: "gone", Remove: true}))
	check := func(when string) {
		t.Helper()
		if _, _, found := r.Caller(publish); found {
			t.Errorf("%s: the key that was revoked is found", when)
		}
		if n := len(r.App("news").Namespaces); n != 0 {
			t.Errorf("%s: %d namespaces", when, n)
		}
		if r.App("gone") != nil {
			t.Errorf("%s: the App that was removed is there", when)
		}
		if s := r.App("news").Signing(); len(s) != 1 || s[0].Text != stays {
			t.Errorf("%s: another App has the secrets %v", when, s)
		}
	}
	check("at once")
	closeIt()
	e, _ = openConfigured(t, local.Config{Dir: dir, ReserveBytes: 1 << 50})
	r = open(t, Config{Log: e})
	check("after a restart")
}

// The log may be cut at any place before the Apps were written down last.
func TestLogIsShortened(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	log := &cutLog{Log: e}
	r := open(t, Config{Log: log})
	r.every = 10
	furnish(t, r, "shop")
	furnish(t, r, "gone")
	must(t, r.Do(t.Context(), Change{App: "gone", Remove: true}))
	must(t, r.Do(t.Context(), Change{App: channel.DefaultApp, SetNamespace: &channel.Namespace{Name: "news"}}))
	must(t, r.Do(t.Context(), Change{App: "shop", RevokeKey: "shop-sign"}))
	if log.written == 0 {
		t.Fatal("nothing was written down")
	}
	furnish(t, r, "late")
	want := dump(t, r)
	for cut := range log.written {
		log.from = cut
		got := open(t, Config{Log: log})
		if dump(t, got) != want || !reflect.DeepEqual(got.removed, r.removed) {
			t.Errorf("from entry %d on\n%s %v, want\n%s", cut, dump(t, got), got.removed, want)
		}
	}
}

// cutLog has lost what is before an entry.
type cutLog struct {
	Log

	from    uint64
	written uint64 // offset of the first entry that writes an App down
}

func (l *cutLog) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	is := strings.Contains(string(req.Publication.Data), `"is":`)
	l.Log.Publish(req, func(res engine.PublishResult, err error) {
		if is && l.written == 0 {
			l.written = res.Offset
		}
		done(res, err)
	})
}

func (l *cutLog) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if req.Since.Offset < l.from {
		req.Since = &engine.Position{Offset: l.from}
	}
	l.Log.History(req, done)
}

// Two that change the same at once agree on who was first.
func TestChangesAtOnce(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	all := make([]*Registry, 4)
	for i := range all {
		all[i] = open(t, Config{Log: e})
	}
	const rounds = 20
	won := make([]int, rounds)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			for i := range rounds {
				err := r.Do(context.Background(), Change{App: fmt.Sprint("app", i), Create: &Settings{}})
				if err == nil {
					mu.Lock()
					won[i]++
					mu.Unlock()
				} else if !errors.Is(err, ErrExists) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, n := range won {
		if n != 1 {
			t.Errorf("app%d was made by %d", i, n)
		}
	}
	for _, r := range all {
		must(t, r.Refresh(t.Context()))
		if dump(t, r) != dump(t, all[0]) {
			t.Error("they do not agree")
		}
	}
}

// A rotated secret holds for its overlap, and a revoked key not at all.
func TestRotation(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := open(t, Config{Log: e, Now: func() time.Time { return now }})
	first, _ := furnish(t, r, "shop")
	works := func(secret string) bool { _, _, found := r.Caller(secret); return found }
	second, until, err := r.RotateKey(t.Context(), "shop", "shop-publish", time.Hour)
	must(t, err)
	if !until.Equal(now.Add(time.Hour)) || !works(first) || !works(second) || first == second {
		t.Errorf("until %s, before %t, after %t", until, works(first), works(second))
	}
	third, _, err := r.RotateKey(t.Context(), "shop", "shop-publish", 2*time.Hour)
	must(t, err)
	if works(first) || !works(second) || !works(third) {
		t.Errorf("after another rotation: %t %t %t", works(first), works(second), works(third))
	}
	now = now.Add(2 * time.Hour)
	if works(second) || !works(third) {
		t.Errorf("after the overlap: %t %t", works(second), works(third))
	}
	must(t, r.Do(t.Context(), Change{App: "shop", RevokeKey: "shop-publish"}))
	if works(third) {
		t.Error("a revoked key works")
	}
	if app, _, found := r.Signer("shop-sign"); !found || app.Name != "shop" {
		t.Error("another key does not work")
	}
	must(t, r.Do(t.Context(), Change{App: "shop", Remove: true}))
	if _, _, found := r.Signer("shop-sign"); found {
		t.Error("the key of a removed app works")
	}
}

// Of keys that do not sign a digest is kept alone, here and in the log, so there is
// nothing a comparison could stop early at: how much of a guess is right cannot be
// told by the time it takes.
func TestKeysAreKeptAsDigests(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	log := &spyLog{Log: e}
	r := open(t, Config{Log: log})
	secret, _ := furnish(t, r, "shop")
	if strings.Contains(dump(t, r)+log.said, secret) || !strings.Contains(log.said, "shop-publish") {
		t.Error("the secret is kept")
	}
	for _, guess := range []string{"", secret[:len(secret)-1], secret + " ", strings.ToLower(secret), "x" + secret[1:]} {
		if _, _, found := r.Caller(guess); found {
			t.Errorf("%q is taken for %q", guess, secret)
		}
	}
}

type spyLog struct {
	Log

	said string
}

func (l *spyLog) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	l.said += string(req.Publication.Data)
	l.Log.Publish(req, done)
}

// What the settings define stays as it is, and goes before what was made at run time.
func TestSettingsGoFirst(t *testing.T) {
	dir := t.TempDir()
	e, closeIt := openEngine(t, dir)
	r := open(t, Config{Log: e})
	furnish(t, r, "shop")
	for _, c := range []Change{
		{App: channel.DefaultApp, Update: &Settings{}},
		{App: channel.DefaultApp, Remove: true},
		{App: channel.DefaultApp, RevokeKey: "api.key"},
		{App: channel.DefaultApp, RotateKey: &Rotation{ID: "api.key"}},
	} {
		if err := r.Do(t.Context(), c); !errors.Is(err, ErrFixed) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	closeIt()
	e, _ = openEngine(t, dir)
	r = open(t, Config{Log: e, Fixed: []*App{
		{Name: channel.DefaultApp, Fixed: true, Keys: []Key{FixedKey("shop-publish", Sign, "taken")}},
		{Name: "shop", Fixed: true, Namespaces: []Namespace{{channel.Namespace{Name: "chat"}, true}}},
	}})
	shop := r.App("shop")
	if len(shop.Keys) != 1 || shop.Keys[0].ID != "shop-sign" || len(shop.Namespaces) != 1 || shop.Namespaces[0].Presence || shop.Connections != 0 {
		t.Errorf("%+v", shop)
	}
	if app, _, found := r.Signer("shop-publish"); !found || app.Name != channel.DefaultApp {
		t.Errorf("the key of the settings is of %v", app)
	}
}

// The keys of an App that was removed open nothing of one that the settings call so
// later, however the log was kept meanwhile.
func TestSettingsTakeTheNameOfARemovedApp(t *testing.T) {
	for _, every := range []int{writeDownEvery, 1} {
		dir := t.TempDir()
		e, closeIt := openEngine(t, dir)
		r := open(t, Config{Log: e})
		r.every = every
		publish, _ := furnish(t, r, "shop")
		must(t, r.Do(t.Context(), Change{App: "shop", Remove: true}))
		closeIt()
		fixed := []*App{{Name: channel.DefaultApp, Fixed: true}, {Name: "shop", Fixed: true, Keys: []Key{FixedKey("new", Read, "the new one's")}}}
		e, closeIt = openEngine(t, dir)
		r = open(t, Config{Log: e, Fixed: fixed})
		r.every = every
		if app, _, found := r.Caller(publish); found {
			t.Errorf("a key of before opens %s", app.Name)
		}
		if shop := r.App("shop"); len(shop.Keys) != 1 || len(shop.Namespaces) != 0 {
			t.Errorf("%+v", shop)
		}
		_, mine, err := r.CreateKey(t.Context(), "shop", "mine", Publish)
		must(t, err)
		closeIt()
		e, _ = openEngine(t, dir)
		if _, _, found := open(t, Config{Log: e, Fixed: fixed}).Caller(mine); !found {
			t.Errorf("written down every %d: the new one's key is lost", every)
		}
	}
}

// Who asks for a change and leaves does not keep what is stored from being in force.
func TestChangeWhoseCallerLeaves(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	ctx, leave := context.WithCancel(t.Context())
	log := &leftLog{Log: e}
	r := open(t, Config{Log: log})
	r.every = 1
	publish, _ := furnish(t, r, "shop")
	log.stored = leave
	err := r.Do(ctx, Change{App: "shop", RevokeKey: "shop-publish"})
	if _, _, found := r.Caller(publish); found || err != nil {
		t.Errorf("%v; the key is found: %t", err, found)
	}
	if other := open(t, Config{Log: e}); other.since != 0 || dump(t, other) != dump(t, r) {
		t.Errorf("%d entries since Apps were written down\n%s, want\n%s", other.since, dump(t, other), dump(t, r))
	}
}

// leftLog tells when an entry is stored, before who waits for it is told.
type leftLog struct {
	Log

	stored func()
}

func (l *leftLog) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	l.Log.Publish(req, func(res engine.PublishResult, err error) {
		if l.stored != nil {
			l.stored()
		}
		done(res, err)
	})
}

// No App made at run time takes the address of another in Pusher's HTTP API.
func TestPusherIDs(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	r := open(t, Config{Log: e})
	must(t, r.Do(t.Context(), Change{App: "4711", Create: &Settings{}}))
	fixed := []*App{{Name: channel.DefaultApp, PusherID: "4711", Fixed: true}}
	for range 10 { // maps have no order
		if app, _ := open(t, Config{Log: e, Fixed: fixed}).PusherApp("4711"); app.Name != channel.DefaultApp {
			t.Fatalf("it is %s", app.Name)
		}
	}
	fixed[0].PusherID = "4712"
	if err := open(t, Config{Log: e, Fixed: fixed}).Do(t.Context(), Change{App: "4712", Create: &Settings{}}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
}

// What a tenant sets is bounded in size, and so in the memory and time it takes.
func TestNamespacesAreBounded(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	r := open(t, Config{Log: e})
	must(t, r.Do(t.Context(), Change{App: "shop", Create: &Settings{}}))
	prefixes := make([]string, MaxPrefixes/2)
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("p%d-", i)
	}
	set := func(n channel.Namespace) error {
		return r.Do(t.Context(), Change{App: "shop", SetNamespace: &n})
	}
	must(t, set(channel.Namespace{Name: "half", Prefixes: prefixes}))
	must(t, set(channel.Namespace{Name: "half", Prefixes: prefixes})) // takes its own place
	must(t, set(channel.Namespace{Name: "regex", Options: channel.Options{ChannelRegex: `^[-a-z0-9]{1,64}(\.[-a-z0-9]{1,64}){0,3}$`}}))
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("q%d-", i)
	}
	for name, n := range map[string]channel.Namespace{
		"prefixes": {Name: "more", Prefixes: slices.Concat(prefixes, []string{"one"})},
		"bytes":    {Name: "large", Options: channel.Options{ChannelRegex: strings.Repeat("a", MaxNamespaceBytes)}},
		"regex":    {Name: "steep", Options: channel.Options{ChannelRegex: strings.Repeat(`\pL{1000}`, 100)}},
	} {
		if err := set(n); !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoKeysOfTheSettings(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	_, err := Open(t.Context(), Config{Log: e, Fixed: []*App{
		{Name: "a", Fixed: true, Keys: []Key{FixedKey("k", Read, "1")}}, {Name: "b", Fixed: true, Keys: []Key{FixedKey("k", Read, "2")}},
	}})
	if !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	for _, scope := range []Scope{Read, Sign} {
		_, err := Open(t.Context(), Config{Log: e, Fixed: []*App{
			{Name: "a", Fixed: true, Keys: []Key{FixedKey("k", scope, "1")}}, {Name: "b", Fixed: true, Keys: []Key{FixedKey("l", scope, "1")}},
		}})
		if !errors.Is(err, ErrExists) || strings.Contains(err.Error(), `"1"`) {
			t.Errorf("two keys that %s with one secret: %v", scope, err)
		}
	}
}

// A refused change leaves no entry, and changes nothing.
func TestRefusedChanges(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	log := &spyLog{Log: e}
	bad := errors.New("asks nobody")
	r := open(t, Config{Log: log, Check: func(_ *App, o *channel.Options) error {
		if o.SubscribeProxyEnabled {
			return bad
		}
		return nil
	}})
	furnish(t, r, "shop")
	before := dump(t, r)
	log.said = ""
	k, _ := NewKey("k", Read, time.Now())
	short, _ := NewKey("short", Sign, time.Now())
	short.Secrets[0].Text = "short"
	for _, tt := range []struct {
		c    Change
		want error
	}{
		{Change{App: "shop"}, ErrBadChange},
		{Change{App: "none", RevokeKey: "k"}, ErrNotFound},
		{Change{App: "shop", CreateKey: &Key{ID: "a.b", Scope: Read, Secrets: k.Secrets}}, ErrBadChange},
		{Change{App: "shop", CreateKey: &Key{ID: "ab", Scope: Operator, Secrets: k.Secrets}}, ErrBadChange},
		{Change{App: "shop", CreateKey: &Key{ID: "ab", Scope: Read}}, ErrBadChange},
		{Change{App: "shop", CreateKey: &short}, ErrBadChange},
		{Change{App: channel.DefaultApp, CreateKey: &Key{ID: "shop-sign", Scope: Read, Secrets: k.Secrets}}, ErrExists},
		{Change{App: "shop", SetNamespace: &channel.Namespace{Name: "x"}}, ErrBadChange},
		{Change{App: "shop", SetNamespace: &channel.Namespace{Name: "xy", Options: channel.Options{HistorySize: 1}}}, ErrBadChange},
		{Change{App: "shop", SetNamespace: &channel.Namespace{Name: "xy", Options: channel.Options{SubscribeProxyEnabled: true}}}, bad},
		{Change{App: "shop", RemoveNamespace: "xy"}, ErrNotFound},
		{Change{App: "shop", Update: &Settings{Publishes: -1}}, ErrBadChange},
		{Change{App: "shop", Update: &Settings{HistoryBytes: -1}}, ErrBadChange},
		{Change{App: "shop", Update: &Settings{HistoryBytes: MaxHistory + 1}}, ErrBadChange},
	} {
		if err := r.Do(t.Context(), tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.c, err, tt.want)
		}
	}
	if log.said != "" || dump(t, r) != before {
		t.Errorf("stored %s", log.said)
	}
	for i := range MaxKeys {
		_, _, err := r.CreateKey(t.Context(), "shop", fmt.Sprint("more", i), Read)
		if want := i >= MaxKeys-2; errors.Is(err, ErrTooMany) != want {
			t.Errorf("key %d: %v", i+3, err)
		}
	}
}

// The hub is told of what there is at the start, and of what becomes of it.
func TestChangesAreTold(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	var told []string
	cfg := Config{
		Log:     e,
		Changed: func(a *App) { told = append(told, fmt.Sprint("+", a.Name, " ", len(a.Keys), len(a.Namespaces))) },
		Removed: func(name string) { told = append(told, "-"+name) },
	}
	r := open(t, cfg)
	furnish(t, r, "shop")
	must(t, r.Do(t.Context(), Change{App: "shop", Remove: true}))
	want := "+default 1 0 +shop 0 0 +shop 1 0 +shop 2 0 +shop 2 1 -shop"
	if got := strings.Join(told, " "); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestScopes(t *testing.T) {
	may := map[Scope]string{Publish: "publish", Read: "read", Admin: "publish read admin", Operator: "publish read admin operator", Sign: "", "": "", "other": ""}
	for have, want := range may {
		var got []string
		for _, asked := range []Scope{Publish, Read, Admin, Sign, Operator, ""} {
			if asked != "" && have.Allows(asked) {
				got = append(got, string(asked))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q allows %q, want %q", have, got, want)
		}
	}
}

// A log that cannot be read stops the start; entries from a later program, too.
func TestLogThatIsNone(t *testing.T) {
	e, _ := openEngine(t, t.TempDir())
	_, err := engine.Await(t.Context(), func(done func(engine.PublishResult, error)) {
		e.Publish(engine.PublishRequest{Channel: changes, Retention: retention(), Publication: engine.Publication{Data: []byte("{")}}, done)
	})
	must(t, err)
	if _, err := Open(t.Context(), Config{Log: e}); err == nil || !strings.Contains(err.Error(), "entry 1") {
		t.Error(err)
	}
}

func FuzzChange(f *testing.F) {
	f.Add(`{"app":"a","create":{}}`)
	f.Add(`{"app":"a","create_key":{"id":"k","scope":"read","secrets":[{"sum":"AA=="}]}}`)
	f.Add(`{"app":"a","rotate_key":{"id":"k","secret":{"text":"x"}}}`)
	f.Add(`{"app":"a","set_namespace":{"name":"chat","channel_regex":"("}}`)
	f.Add(`{"app":"a","is":{"exists":true,"keys":[{}]},"upto":3}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c Change
		if json.Unmarshal([]byte(text), &c) != nil {
			return
		}
		before := &App{Name: "a"}
		rules := &rules{keyTaken: func(string) bool { return false }, check: func(*App, *channel.Options) error { return nil }}
		after, err := apply(before, &c, rules)
		if err != nil {
			return
		}
		if after == before {
			t.Error("changed in its place")
		}
		r := &Registry{state: map[string]*App{}}
		if after != nil {
			r.state[after.Name] = after
		}
		r.look() // what was accepted can be looked up
	})
}
