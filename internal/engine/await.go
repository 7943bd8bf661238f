package engine

import "context"

// Await makes a call that returns of one that has a done function. When ctx ends
// first, whether what was asked for was done is unknown.
func Await[T any](ctx context.Context, ask func(done func(T, error))) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ch := make(chan answer, 1)
	ask(func(v T, err error) { ch <- answer{v, err} })
	select {
	case a := <-ch:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
