package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// minority looks at the only node that is left: it says that it is not ready,
// refuses what would be durable with a temporary error, and lets what has no
// history flow on.
func (a *audit) minority(ctx context.Context, i int) (unready time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if unready, err = a.unready(ctx, i); err != nil {
		return unready, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	api := a.Server(i).API(&http.Client{Transport: transport, Timeout: callTimeout})
	for n := range refused {
		if err := refuses(ctx, api, fmt.Sprintf("audit-refused-%d", n)); err != nil {
			return unready, err
		}
	}
	return unready, flows(ctx, api, a.Server(i).WebSocketURL())
}

// refused is how many channels are tried: together they are on every log.
const refused = 8

var errNotRefused = errors.New("a publication is acknowledged without a majority of nodes")

// refuses waits until a publication is refused with a temporary error; until then
// nobody may know what becomes of it, and never is it acknowledged.
func refuses(ctx context.Context, api *server.API, channel string) error {
	var stored bool
	_, err := trio.Await(ctx, "what cannot be durable is refused", func() (bool, string) {
		err := api.Do(ctx, "publish", map[string]any{"channel": channel, "data": "meanwhile"}, nil)
		stored = stored || err == nil
		var refusal *server.APIError
		return stored || errors.As(err, &refusal) && refusal.Code == 111, fmt.Sprint(err)
	})
	if stored {
		return errNotRefused
	}
	return err
}

// flows shows that a message without history reaches a subscriber.
func flows(ctx context.Context, api *server.API, socket string) error {
	channel := fleetingPrefix + "1"
	c, err := wire.Connect(ctx, socket)
	if err != nil {
		return fmt.Errorf("on the node that is left: %w", err)
	}
	defer c.Drop()
	if err := c.Send(ctx, fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, channel)); err != nil {
		return err
	}
	m, err := c.Reply(ctx, 2)
	if err == nil && m.Subscribe == nil {
		err = fmt.Errorf("%s", m.Raw)
	}
	if err == nil {
		err = api.Do(ctx, "publish", map[string]any{"channel": channel, "data": "fleeting"}, nil)
	}
	for err == nil && (m.Push == nil || m.Push.Pub == nil) {
		m, err = c.Next(ctx)
	}
	if err != nil {
		return fmt.Errorf("without history, on the node that is left: %w", err)
	}
	return nil
}
