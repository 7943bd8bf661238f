package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	mixedMessages = 10_000
	mixedBatch    = 50
)

// One channel, listened to in every way at once, by clients that are cut at
// random: all that can come back see the same sequence, whole.
func TestMixedChannel(t *testing.T) {
	// Nobody is to be late with a pong on a machine that is busy with all of this.
	patient := strings.NewReplacer("ping_interval: 2s", "ping_interval: 25s", "pong_timeout: 1900ms", "pong_timeout: 20s").Replace(serverConfig)
	srv, err := server.Start(t.Context(), server.Options{Bin: bin, Dir: t.TempDir(), Config: patient, APIKey: apiKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Kill)
	const channel = "mixed-all"
	opened := make(chan struct{}, len(ways))
	audits := make(chan error, len(ways))
	for i, w := range ways {
		a := &audit{env: newEnv(t, srv), way: w, channel: channel, random: rand.New(rand.NewPCG(2, uint64(i)))}
		go func() { audits <- a.run(func() { opened <- struct{}{} }) }()
	}
	for range ways {
		select {
		case <-opened:
		case err := <-audits:
			t.Fatal(err)
		}
	}
	publishAll(newEnv(t, srv), channel)
	for range ways {
		if err := <-audits; err != nil {
			t.Error(err)
		}
	}
}

func publishAll(e *env, channel string) {
	for from := 0; from < mixedMessages; from += mixedBatch {
		var commands []any
		for i := from; i < from+mixedBatch; i++ {
			commands = append(commands, map[string]any{"publish": map[string]any{"channel": channel, "data": i}})
		}
		body, err := json.Marshal(map[string]any{"commands": commands})
		if err != nil {
			e.Fatal(err)
		}
		if reply, err := e.api.Post(e.Context(), "batch", body); err != nil || reply.Error != nil {
			e.Fatal(reply.Error, err)
		}
	}
	e.publish(channel, mixedMessages)
}

// audit reads a channel to the last message and is content with nothing else than
// every number in its turn.
type audit struct {
	*env
	way     way
	channel string
	random  *rand.Rand
	want    int
	cuts    int
}

func (a *audit) run(opened func()) error {
	ctx, cancel := context.WithTimeout(a.Context(), 3*timeout)
	defer cancel()
	_, forgetful := a.way.without[caseCuts]
	var resume any
	for a.want <= mixedMessages {
		l, err := a.way.open(a.env, []string{a.channel}, resume)
		if err == nil {
			err = a.read(ctx, l, opened)
			l.cut()
			resume = l.where()
		}
		if err != nil {
			return fmt.Errorf("%s, after %d messages and %d cuts: %w", a.way, a.want, a.cuts, err)
		}
		if forgetful && a.want <= mixedMessages {
			return errors.New(a.way.String() + " was cut and has nothing to resume with")
		}
		opened = nil
	}
	return nil
}

// read takes messages until the last, or until it is time for a cut. A client that
// could not come back is not cut.
func (a *audit) read(ctx context.Context, l listener, opened func()) error {
	_, forgetful := a.way.without[caseCuts]
	for left := 1 + a.random.IntN(1000); (forgetful || left > 0) && a.want <= mixedMessages; left-- {
		ev, err := l.next(ctx)
		switch {
		case err != nil:
			return err
		case ev.kind == subscribed && opened != nil:
			opened()
		case ev.kind == subscribed && !ev.recovered:
			return errors.New("not recovered")
		case ev.kind == subscribed:
		case ev.kind != message || ev.data != strconv.Itoa(a.want):
			return fmt.Errorf("%+v, want %d", ev, a.want)
		default:
			a.want++
		}
	}
	a.cuts++
	return nil
}
