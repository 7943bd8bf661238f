package app

import (
	"context"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/api"
)

// minDrainRate is how many clients are released in a second at least, where the
// settings name no rate: so few come back elsewhere without being noticed.
const minDrainRate = 500

// stepDownWait is how long other nodes may take to be told to lead.
const stepDownWait = time.Second

// draining is a drain that an operator has asked for.
type draining struct {
	mu   sync.Mutex
	rate int // 0: none was asked for
	end  context.CancelFunc
	over chan struct{}
}

// drainRate is the setting, or what releases so many clients in half of the time
// that a stop may take.
func (a *App) drainRate(clients int) int {
	if a.cfg.DrainRate > 0 {
		return a.cfg.DrainRate
	}
	half := max(a.cfg.ShutdownTimeout/2, time.Millisecond)
	return max(minDrainRate, int(float64(clients)/half.Seconds()))
}

// beginDrain begins what an operator asks for, once, and says how far it is.
func (a *App) beginDrain(rate int) api.Drained {
	d := &a.draining
	d.mu.Lock()
	defer d.mu.Unlock()
	clients := a.hub.Connections()
	if d.rate > 0 {
		return api.Drained{Clients: clients, Rate: d.rate}
	}
	if rate == 0 {
		rate = a.drainRate(clients)
	}
	ctx, end := context.WithCancel(context.Background())
	d.rate, d.end, d.over = rate, end, make(chan struct{})
	go func() {
		defer close(d.over)
		a.release(ctx, rate)
	}()
	return api.Drained{Clients: clients, Rate: rate}
}

// endDrain ends what an operator has asked for, before all is ended.
func (a *App) endDrain() {
	d := &a.draining
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rate > 0 {
		d.end()
		<-d.over
	}
}

// leave releases the clients before a stop, where other nodes can take them, in
// two thirds of the time that is left; who is still here then is told by the stop
// itself. Clients of a node that is alone wait for it, and gain nothing by it.
func (a *App) leave(ctx context.Context) {
	if a.engine.node == nil && a.cfg.DrainRate == 0 {
		return
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*2/3)
		defer cancel()
	}
	a.release(ctx, a.drainRate(a.hub.Connections()))
}

// release lets other nodes lead, and then the clients go.
func (a *App) release(ctx context.Context, rate int) {
	began, clients := time.Now(), a.hub.Connections()
	a.log.Info("draining", "clients", clients, "rate", rate)
	a.hub.RefuseNew()
	a.stepDown(ctx)
	if err := a.hub.Drain(ctx, rate); err != nil {
		a.log.Warn("not every client was released", "clients", clients, "left", a.hub.Connections(), "error", err)
		return
	}
	a.log.Info("drained", "clients", clients, "took", time.Since(began).Round(time.Millisecond))
}

// stepDown asks other nodes to lead the logs that this one leads.
func (a *App) stepDown(ctx context.Context) {
	d := a.engine
	if d.cluster == nil || !d.node.Embedded() {
		return // servers elsewhere lead as before
	}
	ctx, cancel := context.WithTimeout(ctx, stepDownWait)
	defer cancel()
	if err := d.cluster.StepDown(ctx, a.nodeName()); err != nil {
		a.log.Warn("logs are led from here until the end", "error", err) // which hands them over, too
	}
}
