package main

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	{"freeze", time.Second, 8 * time.Second, first, (*audit).freeze},
	{"stop", 0, 2 * time.Second, first, (*audit).stop},
	{"cut off", time.Second, 10 * time.Second, firstCut, (*audit).cutOff},
	{"cut link", time.Second, 8 * time.Second, pairCut, (*audit).cutLink},
	{"one way", time.Second, 8 * time.Second, pair, (*audit).oneWay},
	{"slow", 2 * time.Second, 6 * time.Second, firstSlow, (*audit).slow},
	{"kill all", 0, 2 * time.Second, func(*fault) string { return "" }, (*audit).killAll},
	{"minority", 3 * time.Second, 6 * time.Second, func(f *fault) string { return "only " + trio.Name(f.order[0]) + " is left" }, (*audit).leaveOne},
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

const maxDelay = 60 * time.Millisecond

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
	var plan []fault
	for len(plan) < cfg.faults {
		random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, k := range deck[:min(len(deck), cfg.faults-len(plan))] {
			f := fault{kind: k, hold: k.min + time.Duration(random.Int64N(int64(k.max-k.min))), delay: 5*time.Millisecond + time.Duration(random.Int64N(int64(maxDelay))).Truncate(time.Millisecond), reset: random.IntN(2) == 0}
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
func (a *audit) cut(f *fault, i, j int) {
	a.Set(i, j, link.State{Cut: true})
	a.Set(j, i, link.State{Cut: true})
	if f.reset {
		a.Reset(i, j)
	}
}

// cutOff leaves a node alone, which says so if it is for long.
func (a *audit) cutOff(ctx context.Context, f *fault, r *row) error {
	defer a.Heal()
	i := f.order[0]
	a.cut(f, i, f.order[1])
	a.cut(f, i, f.order[2])
	while, cancel := context.WithTimeout(ctx, f.hold)
	defer cancel()
	unready, err := trio.Await(while, "", func() (bool, string) {
		ready, _ := a.Ready(while, i)
		return !ready && while.Err() == nil, ""
	})
	if err == nil {
		r.unready = unready
	}
	<-while.Done()
	return context.Cause(ctx)
}

func (a *audit) cutLink(ctx context.Context, f *fault, _ *row) error {
	defer a.Heal()
	a.cut(f, f.order[0], f.order[1])
	return pause(ctx, f.hold)
}

// oneWay loses all that the first says to the second.
func (a *audit) oneWay(ctx context.Context, f *fault, _ *row) error {
	defer a.Heal()
	a.Set(f.order[0], f.order[1], link.State{Cut: true})
	return pause(ctx, f.hold)
}

// slow delays what a node hears and says.
func (a *audit) slow(ctx context.Context, f *fault, _ *row) error {
	defer a.Heal()
	for _, j := range f.order[1:] {
		a.Set(f.order[0], j, link.State{Delay: f.delay})
		a.Set(j, f.order[0], link.State{Delay: f.delay})
	}
	return pause(ctx, f.hold)
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
