package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
)

// fullNode is the node that runs out of disk: with a small filesystem of its own
// that is filled to the last byte, otherwise by a reserve larger than any disk.
const fullNode = 2

// noSpace makes a store see too little space on any disk.
const noSpace = "FANFARE_STORE_RESERVE_SIZE=1000TiB"

func (a *audit) full(ctx context.Context, f *fault, r *row) error {
	if a.mount {
		return a.fill(ctx, f, r)
	}
	return a.starve(ctx, f, r)
}

// starve restarts the node with the reserve, and without it after a while.
func (a *audit) starve(ctx context.Context, f *fault, r *row) error {
	r.note = "by store.reserve_size"
	within, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := a.Stop(within, fullNode); err != nil {
		return err
	}
	if err := a.Start(ctx, fullNode, noSpace); err != nil {
		return err
	}
	var err error
	if r.unready, err = a.unready(within, fullNode); err != nil {
		return err
	}
	if err := pause(ctx, f.hold); err != nil {
		return err
	}
	if err := a.Stop(within, fullNode); err != nil {
		return err
	}
	return a.startAll(ctx, r)
}

const (
	ballastPiece = 1 << 20
	// backByItself is how long a node may take to be ready again once there is
	// space, before it is restarted as an operator would.
	backByItself = 15 * time.Second
)

// fill writes until nothing can be written, and makes room after a while. The
// node may end by that; whoever runs it starts it again.
func (a *audit) fill(ctx context.Context, f *fault, r *row) error {
	ballast := filepath.Join(a.Dir(fullNode), "ballast")
	if err := writeUntilFull(ballast); err != nil {
		return err
	}
	began := time.Now()
	srv := a.Server(fullNode)
	while, cancel := context.WithTimeout(ctx, f.hold)
	defer cancel()
	if unready, err := a.unready(while, fullNode); err == nil {
		r.unready = unready
	}
	if err := pause(ctx, f.hold-time.Since(began)); err != nil {
		return err
	}
	a.over(r)
	if err := os.Remove(ballast); err != nil {
		return err
	}
	select {
	case <-srv.Done():
		r.note = "it ended, and is started again"
		a.Kill(fullNode)
		return a.startAll(ctx, r)
	default:
	}
	again, cancelAgain := context.WithTimeout(ctx, backByItself)
	defer cancelAgain()
	if _, err := trio.Await(again, "", func() (bool, string) {
		answer, reason := a.Ready(again, fullNode)
		return answer == trio.Ready, reason
	}); err == nil {
		r.note = "it comes back by itself"
		return nil
	}
	_, reason := a.Ready(ctx, fullNode)
	r.note = fmt.Sprintf("it does not come back by itself (%s), and is restarted", reason)
	a.Kill(fullNode)
	return a.startAll(ctx, r)
}

func writeUntilFull(file string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	piece := make([]byte, ballastPiece)
	for len(piece) > 0 {
		if _, err := out.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
	return nil
}
