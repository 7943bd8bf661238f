package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTakeTurns(t *testing.T) {
	var order []string
	doing := func(name string, err error, times int64) contender {
		return contender{name, os.Getpid(), func(context.Context, time.Duration) (int64, error) {
			order = append(order, name)
			return times, err
		}}
	}
	n, err := takeTurns(t.Context(), []contender{doing("a", nil, 1), doing("b", nil, 1)}, time.Second)
	if _, has := n["b/ratio"]; err != nil || !has {
		t.Errorf("%v, %v", n, err)
	}
	if said := strings.Join(order[:6], ""); said != "ab"+"ab"+"ba" || len(order) != 2*(turnsOfARun+1) {
		t.Errorf("the turns are %v", order)
	}
	broken := errors.New("broken")
	if _, err := takeTurns(t.Context(), []contender{doing("a", nil, 1), doing("b", broken, 0)}, time.Second); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := takeTurns(t.Context(), []contender{doing("idle", nil, 0)}, time.Second); err == nil {
		t.Error("who does nothing has a number")
	}
}
