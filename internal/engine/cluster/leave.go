package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// StepDown asks for other leaders of the logs that the server of this name leads,
// so that its end finds none to replace. What is being appended meanwhile is sent
// again to the new leader. It does not wait for one to be there.
func (e *Engine) StepDown(ctx context.Context, server string) error {
	var mu sync.Mutex
	var errs []error
	var asked sync.WaitGroup
	for _, p := range e.partitions() {
		p.mu.Lock()
		leader := p.health.leader
		p.mu.Unlock()
		if leader != server {
			continue
		}
		asked.Go(func() {
			if err := p.journal.StepDown(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	asked.Wait()
	return errors.Join(errs...)
}

// Absent are the servers that a log should have a replica on and that its leader
// does not hear of, by name.
func (e *Engine) Absent() []string {
	var names []string
	for _, p := range e.partitions() {
		names = append(names, p.journal.Absent()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
