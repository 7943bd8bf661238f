package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// How a log is handed over. A server that has not applied all that it has stored
// does not stand for election, and whoever does then comes some 100 ms or a second
// later; so nobody appends while a log changes hands.
const (
	holdWait = 50 * time.Millisecond  // for the nodes to have nothing under way
	holdMost = 250 * time.Millisecond // and to wait for another leader
)

// StepDown asks for other leaders of the logs that the server of this name leads,
// so that its end finds none to replace. What is being appended meanwhile is sent
// again to the new leader. It does not wait for one to be there.
func (e *Engine) StepDown(ctx context.Context, server string) error {
	var mu sync.Mutex
	var errs []error
	var asked sync.WaitGroup
	for _, p := range e.partitions() {
		asked.Go(func() {
			if err := p.stepDown(ctx, server); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	asked.Wait()
	return errors.Join(errs...)
}

func (p *partition) stepDown(ctx context.Context, server string) error {
	b, err := p.journal.Bounds(ctx)
	if err != nil || b.Leader != server {
		return err
	}
	p.quieten(ctx)
	return p.journal.StepDown(ctx)
}

// quieten has all nodes append nothing until another leads the log, if they can be
// asked in time.
func (p *partition) quieten(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, holdWait)
	defer cancel()
	if !p.e.door.Enter() {
		return
	}
	held := make(chan struct{}, 1)
	p.others.Go(func() { p.hold(func() { held <- struct{}{} }) })
	p.e.door.Leave()
	missing, conn := 1, p.e.cfg.Conn
	if sub, err := conn.SubscribeSync(conn.NewInbox()); err == nil {
		defer func() { _ = sub.Unsubscribe() }()              // fails only without a connection
		missing = min(len(p.e.bus.Nodes()), p.e.cfg.Replicas) // edge nodes do not append
		if conn.PublishRequest(p.e.cfg.Name+holdSubject+p.name, sub.Subject, nil) != nil {
			missing = 1
		}
		for ; missing > 1; missing-- {
			if _, err := sub.NextMsgWithContext(ctx); err != nil {
				break
			}
		}
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
	if missing > 1 || ctx.Err() != nil {
		p.e.cfg.Logger.Debug("a log is handed over while it is written to", "log", p.name)
	}
}

const holdSubject = ".hold."

// holds hears of logs that are about to be handed over.
func (e *Engine) holds() (*nats.Subscription, error) {
	sub, err := e.cfg.Conn.Subscribe(e.cfg.Name+holdSubject+"*", func(m *nats.Msg) {
		p := e.named(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
		if p == nil || !e.door.Enter() {
			return
		}
		defer e.door.Leave()
		p.others.Go(func() {
			p.hold(func() { _ = m.Respond(nil) }) // who does not hear of it goes on
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listen for logs that are handed over: %w", err)
	}
	return sub, nil
}

// hold has nothing under way from when it calls held until another leads the log.
func (p *partition) hold(held func()) {
	elected, most := p.journal.Elected(), time.NewTimer(holdMost)
	defer most.Stop()
	select {
	case p.turn <- struct{}{}:
	case <-most.C:
		return
	case <-p.ctx.Done():
		return
	}
	held()
	select {
	case <-elected:
	case <-most.C:
	case <-p.ctx.Done():
	}
	<-p.turn
}
