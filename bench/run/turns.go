package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// turnsOfARun is how often each contender has its turn in a run: whatever else the
// machine does then meets all of them.
const turnsOfARun = 8

// contender does one thing as often as it can, against a server of its own.
type contender struct {
	name string
	pid  int // of the server
	run  func(ctx context.Context, d time.Duration) (times int64, err error)
}

// ends are what is to be done at the end, the last first.
type ends []func()

func (e *ends) add(fn func()) { *e = append(*e, fn) }

func (e *ends) run() {
	for _, fn := range slices.Backward(*e) {
		fn()
	}
}

// takeTurns gives the CPU seconds of each contender's server for one time of what
// it does, by name. The first sets the others' ratio: ratios come as "name/ratio".
func takeTurns(ctx context.Context, list []contender, d time.Duration) (numbers, error) {
	for _, c := range list { // caches, connections, the branch predictor
		if _, err := c.run(ctx, d/turnsOfARun); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	cpu, times := make([]float64, len(list)), make([]int64, len(list))
	for turn := range turnsOfARun {
		for k := range list {
			i := (turn + k) % len(list)
			before, err := cpuSeconds(list[i].pid)
			if err != nil {
				return nil, err
			}
			n, err := list[i].run(ctx, d/turnsOfARun)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list[i].name, err)
			}
			after, err := cpuSeconds(list[i].pid)
			if err != nil {
				return nil, err
			}
			cpu[i] += after - before
			times[i] += n
		}
	}
	result := numbers{}
	for i, c := range list {
		if times[i] == 0 {
			return nil, fmt.Errorf("%s: nothing was done in %s", c.name, d)
		}
		result[c.name] = cpu[i] / float64(times[i])
		result[c.name+"/ratio"] = result[c.name] / result[list[0].name]
	}
	return result, nil
}
