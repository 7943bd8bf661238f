package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/audit/crowd"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
)

// config says how to run.
type config struct {
	bin, dir string
	faults   int
	seed     uint64
	only     []string // names of kinds; nil: all
	mount    bool
	limits   bool // judge limits, too
	// namespaces puts the nodes into network namespaces: cuts lose packets.
	namespaces bool
	// recordFile is where the record of a failed run is kept, and what the nodes
	// have said beside it.
	recordFile string
	progress   func(line string)
}

// loads: channels that publishers on all nodes write to, one with large
// publications, and one that is silent most of the time. Each has a subscriber of
// every kind. The names are such that Pusher clients can use them.
var loads = []crowd.Load{
	{Channel: "audit-a", Publishers: trio.Size, Subscribers: 4, MaxPad: 200, Pause: paceOf},
	{Channel: "audit-b", Publishers: trio.Size, Subscribers: 4, MaxPad: 200, Pause: paceOf},
	{Channel: "audit-c", Publishers: trio.Size, Subscribers: 4, MaxPad: 200, Pause: paceOf},
	{Channel: "audit-d", Publishers: trio.Size, Subscribers: 4, MaxPad: 200, Pause: paceOf},
	{Channel: "audit-large", Publishers: trio.Size, Subscribers: 4, MaxPad: 16 << 10, Pause: 300 * time.Millisecond},
	{Channel: "audit-rare", Publishers: 1, Subscribers: 4, MaxPad: 100, Pause: rarely},
}

const (
	paceOf = 30 * time.Millisecond
	rarely = 3 * time.Second
)

// ways deals every protocol to every channel.
var ways = []crowd.Way{crowd.OverWebSocket, crowd.OverEvents, crowd.OverHTTPStream, crowd.OverPusher}

const (
	apiKey    = "audit"
	appKey    = "audit-key"
	appSecret = "audit-secret"

	presentChannel = "present-1"
	fleetingPrefix = "fleeting-" // channels without history
)

// settings keep everything, so that the check can be complete.
const settings = `
app:
  id: audit-id
  key: ` + appKey + `
  secret: ` + appSecret + `
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
limits:
  connections_per_user: 3
store:
  reserve_size: 32MiB
channel:
  namespaces:
    - name: audit
      prefixes: ["audit-"]
      history_size: 1000000
      history_ttl: 24h
      force_recovery: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: present
      prefixes: ["present-"]
      presence: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: fleeting
      prefixes: ["` + fleetingPrefix + `"]
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
`

// logSize is little, so that a node that is away for long cannot have all from the
// logs; it is also what a small filesystem has room for.
const logSize = "32MiB"

// result is what a run has seen. record is nil where the run could not end.
type result struct {
	record *check.Record
	rows   []row
	seed   uint64
	took   time.Duration
}

func (r *result) summary() string {
	text := fmt.Sprintf("%d faults", len(r.rows))
	if r.record != nil {
		text += ", " + crowd.Summary(r.record)
	}
	return fmt.Sprintf("%s, in %s, seed %d", text, r.took.Round(time.Second), r.seed)
}

// audit is one run while it lasts.
type audit struct {
	config
	*trio.Trio

	crowd     *crowd.Crowd
	pauses    *pauses
	residents *residents
	rows      []row
}

const (
	formTimeout   = 90 * time.Second  // until three nodes that start anew are ready
	settleTimeout = 100 * time.Second // until all is well after a fault
	undisturbed   = time.Second       // between two faults
	minAcks       = 50                // before a fault counts as one under load
	callTimeout   = 3 * time.Second   // of publishers: after it they go to another node
)

// run starts three nodes, loads and disturbs them, and gives what everybody was
// told. An error says that the run itself could not go on; the result then holds
// what there is of the faults.
func run(ctx context.Context, cfg config) (*result, error) {
	start := time.Now()
	plan, err := planOf(cfg)
	if err != nil {
		return nil, err
	}
	cfg.progress(fmt.Sprintf("audit: %d faults, seed %d", cfg.faults, cfg.seed))
	nodes, err := trio.New(ctx, trio.Config{Bin: cfg.bin, Dir: cfg.dir, Settings: settings, APIKey: apiKey, LogSize: logSize, Namespaces: cfg.namespaces})
	if err != nil {
		return nil, err
	}
	a := &audit{config: cfg, Trio: nodes, pauses: newPauses()}
	a.residents = &residents{trio: nodes}
	a.crowd = &crowd.Crowd{
		Loads: loads, Seed: cfg.seed, APIKey: apiKey, AppKey: appKey, Find: nodes.Find, Ends: a.ends,
		Ways: ways, Moves: true, CallTimeout: callTimeout, Acked: a.pauses.acked,
	}
	res := &result{seed: cfg.seed}
	unmount := func() error { return nil }
	if cfg.mount {
		unmount, err = smallDisk(ctx, nodes.Dir(fullNode))
	}
	if err == nil {
		err = a.mint(ctx)
	}
	if err == nil {
		res.record, err = a.all(ctx, plan)
	}
	err = errors.Join(err, nodes.Close(), unmount())
	res.rows, res.took = a.rows, time.Since(start)
	return res, err
}

func (a *audit) all(ctx context.Context, plan []fault) (*check.Record, error) {
	if err := a.form(ctx); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	stop := a.residents.begin(ctx)
	defer stop()
	return a.crowd.Run(ctx, func(ctx context.Context, _ *rand.Rand) error { return a.disturb(ctx, plan) })
}

// form starts all nodes that are down and waits until they are ready.
func (a *audit) form(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, formTimeout)
	defer cancel()
	for i := range trio.Size {
		if a.Server(i) == nil {
			if err := a.Start(ctx, i); err != nil {
				return err
			}
		}
	}
	return a.AwaitReady(ctx)
}

// disturb plays the plan.
func (a *audit) disturb(ctx context.Context, plan []fault) error {
	if err := a.settle(ctx); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	for n, f := range plan {
		a.pauses.begin()
		if err := pause(ctx, undisturbed); err != nil {
			return err
		}
		r := row{number: n + 1, fault: f.String(), before: a.pauses.longest()}
		a.pauses.begin()
		began := time.Now()
		err := f.play(a, ctx, &f, &r)
		a.over(&r)
		if err == nil {
			err = a.settle(ctx)
		}
		r.after, r.took = a.pauses.longest(), time.Since(began)
		a.rows = append(a.rows, r)
		a.progress(r.String())
		if err != nil {
			return fmt.Errorf("fault %d, %s: %w%s", n+1, f.String(), err, a.words(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// over is called when a fault is about to end; what comes then is its aftermath.
func (a *audit) over(r *row) {
	if r.pause == 0 {
		r.pause = a.pauses.longest()
	}
}

// settle waits until all nodes are up and ready, publications are acknowledged on
// every channel, and presence and limits are right on every node.
func (a *audit) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := a.AwaitReady(ctx); err != nil {
		return err
	}
	if err := a.flowing(ctx); err != nil {
		return err
	}
	if err := a.crowd.AwaitAcks(ctx, minAcks); err != nil {
		return err
	}
	if _, err := a.residents.right(ctx); err != nil || !a.limits {
		return err
	}
	for i := range trio.Size {
		if _, err := a.residents.admits(ctx, i, false); err != nil {
			return err
		}
	}
	return nil
}

// ends are all nodes.
func (a *audit) ends(context.Context) (addrs []string, err error) {
	for i := range trio.Size {
		addrs = append(addrs, a.Server(i).Addr())
	}
	return addrs, nil
}

// words keeps what each node has said beside the record, and gives the last of it.
// A node that does not answer any more is made to say what it is at.
func (a *audit) words(ctx context.Context) (text string) {
	for i := range trio.Size {
		srv := a.Server(i)
		if srv == nil {
			text += "\n" + trio.Name(i) + " is down"
			continue
		}
		if answer, _ := a.Ready(ctx, i); answer == trio.NoAnswer {
			_ = srv.Signal(syscall.SIGQUIT) // Go's way to ask for the stacks of all goroutines
			within, cancel := context.WithTimeout(ctx, callTimeout)
			_, _ = srv.Wait(within)
			cancel()
		}
		file := filepath.Join(filepath.Dir(a.recordFile), trio.Name(i)+".log")
		if err := os.WriteFile(file, []byte(srv.Output()), 0o600); err != nil {
			file = err.Error()
		}
		out := srv.Output()
		text += fmt.Sprintf("\n%s, the whole in %s:\n%s", trio.Name(i), file, out[max(0, len(out)-wordsOf):])
	}
	return text
}

// wordsOf bounds what is shown of each node's log.
const wordsOf = 1500

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
