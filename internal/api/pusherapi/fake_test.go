package pusherapi

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHub answers with what it is given and writes down what it was asked.
type fakeHub struct {
	asked   []string
	err     error // of every method that can fail
	members engine.Members
	kept    []*engine.Publication
	rows    []hub.ChannelInfo
	more    bool
	count   int
}

func (f *fakeHub) note(format string, args ...any) {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeHub) PublishAll(_ context.Context, all []hub.Publish) []hub.Published {
	for _, p := range all {
		f.note("publish %s/%s %s %s except=%q", p.App, p.Channel, p.Event, p.Data, p.Except)
	}
	out := make([]hub.Published, len(all))
	for i := range out {
		out[i].Err = f.err
	}
	return out
}

func (f *fakeHub) History(_ context.Context, app, ch string, q hub.HistoryQuery) (engine.HistoryResult, error) {
	f.note("history %s/%s limit=%d reverse=%t", app, ch, q.Limit, q.Reverse)
	return engine.HistoryResult{Publications: f.kept}, f.err
}

func (f *fakeHub) Presence(_ context.Context, app, ch string) (engine.Members, error) {
	f.note("presence %s/%s", app, ch)
	return f.members, f.err
}

func (f *fakeHub) PresenceStats(_ context.Context, app, ch string) (engine.PresenceStats, error) {
	f.note("stats %s/%s", app, ch)
	return engine.PresenceStats{Clients: 9, Users: 4}, f.err
}

func (f *fakeHub) Disconnect(_ context.Context, t hub.Target, d hub.Disconnect) error {
	f.note("disconnect %s/%s %d", t.App, t.User, d.Code)
	return f.err
}

func (f *fakeHub) Channels(_ context.Context, q hub.ChannelQuery) ([]hub.ChannelInfo, bool, error) {
	f.note("channels %s pattern=%s limit=%d", q.App, q.Pattern, q.Limit)
	return f.rows, f.more, f.err
}

func (f *fakeHub) SubscribersOfAll(context.Context, channel.ID) (int, error) { return f.count, f.err }
