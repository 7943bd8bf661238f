package cluster

import (
	"context"
	"errors"
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
