package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/link"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
)

// fault is one of the plan: everything about it is drawn before the run begins.
type fault struct {
	kind
	order [trio.Size]int // of nodes: the first is who it happens to
	hold  time.Duration  // how long it lasts
	delay time.Duration  // of a slow link
	reset bool           // connections are reset where they are cut
}

// kind is a kind of fault.
type kind struct {
	name     string
	min, max time.Duration // that it lasts
	says     func(f *fault) string
	play     func(a *audit, ctx context.Context, f *fault, r *row) error
}

var kinds = []kind{
	{"kill", 200 * time.Millisecond, 3 * time.Second, first, (*audit).kill},
	{"kill twice", 50 * time.Millisecond, 2 * time.Second, first, (*audit).killTwice},
	{"kill in turn", 50 * time.Millisecond, time.Second, first, (*audit).killInTurn},
	{"lose index", 0, 2 * time.Second, first, (*audit).loseIndex},
	{"freeze", time.Second, 8 * time.Second, first, (*audit).freezeOne},
	{"freeze two", time.Second, 8 * time.Second, func(f *fault) string { return "all but " + first(f) }, (*audit).freezeOthers},
	{"stop", 0, 2 * time.Second, first, (*audit).stop},
	{"cut off", time.Second, 10 * time.Second, firstCut, (*audit).cutOff},
	{"cut link", time.Second, 8 * time.Second, pairCut, (*audit).cutLink},
	{"one way", time.Second, 8 * time.Second, pair, (*audit).oneWay},
	{"slow", 2 * time.Second, 6 * time.Second, firstSlow, (*audit).slow},
	{"kill all", 0, 2 * time.Second, func(*fault) string { return "" }, (*audit).killAll},
	{"minority", 3 * time.Second, 6 * time.Second, func(f *fault) string { return "only " + first(f) + " is left" }, (*audit).leaveOne},
	{"full", 3 * time.Second, 6 * time.Second, func(*fault) string { return trio.Name(fullNode) }, (*audit).full},
}

func first(f *fault) string { return trio.Name(f.order[0]) }

func pair(f *fault) string { return trio.Name(f.order[0]) + " to " + trio.Name(f.order[1]) }

func firstCut(f *fault) string { return first(f) + resets(f) }

func pairCut(f *fault) string { return pair(f) + resets(f) }

func firstSlow(f *fault) string { return fmt.Sprintf("%s by %s", first(f), f.delay) }

func resets(f *fault) string {
	if f.reset {
		return ", reset"
	}
	return ""
}

func (f *fault) String() string {
	return fmt.Sprintf("%s %s, %.1f s", f.name, f.says(f), f.hold.Seconds())
}

const (
	minDelay = 5 * time.Millisecond
	maxDelay = 65 * time.Millisecond
)

// planOf draws the faults. Kinds come in rounds: each once in every round, in an
// order of chance.
func planOf(cfg config) ([]fault, error) {
	random := rand.New(rand.NewPCG(cfg.seed, 0))
	deck := slices.Clone(kinds)
	if cfg.only != nil {
		deck = slices.DeleteFunc(deck, func(k kind) bool { return !slices.Contains(cfg.only, k.name) })
		if len(deck) != len(cfg.only) {
			var names []string
			for _, k := range kinds {
				names = append(names, k.name)
			}
			return nil, fmt.Errorf("kinds of faults are %s", strings.Join(names, ", "))
		}
	}
	if cfg.namespaces {
		deck = slices.DeleteFunc(deck, func(k kind) bool { return k.name == "slow" }) // no delays there
	}
	if len(deck) == 0 {
		return nil, errors.New("no kind of fault is left")
	}
	var plan []fault
	for len(plan) < cfg.faults {
		random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, k := range deck[:min(len(deck), cfg.faults-len(plan))] {
			f := fault{
				kind:  k,
				hold:  k.min + time.Duration(random.Int64N(int64(k.max-k.min))),
				delay: minDelay + time.Duration(random.Int64N(int64(maxDelay-minDelay))).Truncate(time.Millisecond),
				reset: random.IntN(2) == 0 && !cfg.namespaces, // lost packets reset nothing
			}
			copy(f.order[:], random.Perm(trio.Size))
			plan = append(plan, f)
		}
	}
	return plan, nil
}

// kill is kill -9, and a start after a while.
func (a *audit) kill(ctx context.Context, f *fault, r *row) error {
	return a.deadFor(ctx, f.hold, r, f.order[0])
}

// deadFor kills nodes, waits until the others do not say any more that those who
// were on them are present, and starts them again.
func (a *audit) deadFor(ctx context.Context, hold time.Duration, r *row, nodes ...int) error {
	for _, i := range nodes {
		a.Kill(i)
	}
	began := time.Now()
	var err error
	if r.presence, err = a.presence(ctx); err != nil {
		return err
	}
	if err := a.limit(ctx, r, began); err != nil {
		return err
	}
	if err := pause(ctx, hold-time.Since(began)); err != nil {
		return err
	}
	return a.startAll(ctx, r)
}

func (a *audit) presence(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	return a.residents.right(ctx)
}

// limit notes how long after the death of a node its connections are none of the
// user's any more.
func (a *audit) limit(ctx context.Context, r *row, death time.Time) error {
	if !a.limits {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for i := range trio.Size {
		if a.Server(i) == nil {
			continue
		}
		if _, err := a.residents.admits(ctx, i, true); err != nil {
			return err
		}
		r.limit = time.Since(death)
		return nil
	}
	return nil
}

// startAll ends a fault by starting the nodes that are down.
func (a *audit) startAll(ctx context.Context, r *row) error {
	a.over(r)
	for i := range trio.Size {
		if a.Server(i) != nil {
			continue
		}
		if err := a.Start(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// killTwice kills a node, and again while it comes back.
func (a *audit) killTwice(ctx context.Context, f *fault, r *row) error {
	i := f.order[0]
	a.Kill(i)
	young, err := a.Launch(i)
	if err != nil {
		return err
	}
	err = pause(ctx, f.hold)
	young.Kill()
	if err != nil {
		return err
	}
	return a.deadFor(ctx, 0, r, i)
}

// killInTurn kills each node as soon as the one before listens again, ready or not.
func (a *audit) killInTurn(ctx context.Context, f *fault, _ *row) error {
	for _, i := range f.order {
		a.Kill(i)
		if err := pause(ctx, f.hold); err != nil {
			return err
		}
		if err := a.Start(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// loseIndex kills a node and takes from it what it had made of the logs: it has to
// read them again, or to copy from another what they do not hold any more.
func (a *audit) loseIndex(ctx context.Context, f *fault, r *row) error {
	i := f.order[0]
	a.Kill(i)
	if err := os.RemoveAll(filepath.Join(a.Dir(i), "data", "index")); err != nil {
		return err
	}
	return a.deadFor(ctx, f.hold, r, i)
}

// freezeOne stops a process where it is, as a machine does that swaps or is moved.
func (a *audit) freezeOne(ctx context.Context, f *fault, _ *row) error {
	return a.freeze(f.order[:1], func() error { return pause(ctx, f.hold) })
}

// freezeOthers leaves a node without a majority, though all connections last.
func (a *audit) freezeOthers(ctx context.Context, f *fault, r *row) error {
	return a.freeze(f.order[1:], func() error { return a.alone(ctx, f, r) })
}

func (a *audit) killAll(ctx context.Context, f *fault, r *row) error {
	for _, i := range f.order {
		a.Kill(i)
	}
	if err := pause(ctx, f.hold); err != nil {
		return err
	}
	return a.startAll(ctx, r)
}

// stopTimeout bounds a graceful end.
const stopTimeout = 40 * time.Second

// stop ends a node as an operator does, and starts it again.
func (a *audit) stop(ctx context.Context, f *fault, r *row) error {
	within, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	began := time.Now()
	if err := a.Stop(within, f.order[0]); err != nil {
		return err
	}
	r.note = fmt.Sprintf("it ends in %d ms", time.Since(began).Milliseconds())
	if err := pause(ctx, f.hold); err != nil {
		return err
	}
	return a.startAll(ctx, r)
}

// cut cuts both directions between two nodes.
func (a *audit) cut(f *fault, i, j int) error {
	err := errors.Join(a.Set(i, j, link.State{Cut: true}), a.Set(j, i, link.State{Cut: true}))
	if f.reset {
		err = errors.Join(err, a.Reset(i, j))
	}
	return err
}

// cutOff leaves a node alone; the others go on.
func (a *audit) cutOff(ctx context.Context, f *fault, r *row) error {
	i := f.order[0]
	err := errors.Join(a.cut(f, i, f.order[1]), a.cut(f, i, f.order[2]))
	if err == nil {
		err = a.alone(ctx, f, r, a.flowing)
	}
	return errors.Join(err, a.Heal())
}

// lasting is a time alone that a node has to notice; the pings of nodes take less.
const lasting = 5 * time.Second

// alone lets a node be without the others. If that lasts it goes on until the node
// has said that it is not ready, and what else there is to be seen.
func (a *audit) alone(ctx context.Context, f *fault, r *row, see ...func(context.Context) error) error {
	began := time.Now()
	if f.hold >= lasting {
		within, cancel := context.WithTimeout(ctx, settleTimeout)
		defer cancel()
		var err error
		if r.unready, err = a.unready(within, f.order[0]); err != nil {
			return err
		}
		for _, look := range see {
			if err := look(within); err != nil {
				return err
			}
		}
	}
	return pause(ctx, f.hold-time.Since(began))
}

// flowing waits until publications are acknowledged on every channel.
func (a *audit) flowing(ctx context.Context) error {
	_, err := trio.Await(ctx, "publications flow on every channel", a.pauses.flow())
	return err
}

// unready waits until a node says that it is not ready, and not only nothing.
func (a *audit) unready(ctx context.Context, i int) (time.Duration, error) {
	return trio.Await(ctx, trio.Name(i)+" says that it is not ready", func() (bool, string) {
		answer, reason := a.Ready(ctx, i)
		return answer == trio.NotReady, reason
	})
}

func (a *audit) cutLink(ctx context.Context, f *fault, _ *row) error {
	err := a.cut(f, f.order[0], f.order[1])
	return errors.Join(err, pause(ctx, f.hold), a.Heal())
}

// oneWay loses all that the first says to the second.
func (a *audit) oneWay(ctx context.Context, f *fault, _ *row) error {
	err := a.Set(f.order[0], f.order[1], link.State{Cut: true})
	return errors.Join(err, pause(ctx, f.hold), a.Heal())
}

// slow delays what a node hears and says.
func (a *audit) slow(ctx context.Context, f *fault, _ *row) error {
	var errs []error
	for _, j := range f.order[1:] {
		errs = append(errs, a.Set(f.order[0], j, link.State{Delay: f.delay}), a.Set(j, f.order[0], link.State{Delay: f.delay}))
	}
	return errors.Join(append(errs, pause(ctx, f.hold), a.Heal())...)
}

// leaveOne kills two of three.
func (a *audit) leaveOne(ctx context.Context, f *fault, r *row) error {
	a.Kill(f.order[1])
	a.Kill(f.order[2])
	began := time.Now()
	var err error
	if r.unready, err = a.minority(ctx, f.order[0]); err != nil {
		return err
	}
	if err := pause(ctx, f.hold-time.Since(began)); err != nil {
		return err
	}
	return a.startAll(ctx, r)
}
