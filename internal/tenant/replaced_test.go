package tenant

import (
	"slices"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// movingLog becomes another log, of which at first the beginning is missing.
type movingLog struct {
	Log

	from uint64 // what is before it is missing
}

func (l *movingLog) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	if req.Since.Offset < l.from {
		req.Since = &engine.Position{Epoch: req.Since.Epoch, Offset: l.from}
	}
	l.Log.History(req, func(res engine.HistoryResult, err error) {
		res.Oldest = max(res.Oldest, l.from+1)
		done(res, err)
	})
}

// The Apps of a node that was alone are found once its log has come over, also while
// that comes in pieces, the newest first.
func TestLogComesOver(t *testing.T) {
	fresh, _ := openEngine(t, t.TempDir())
	old, _ := openEngine(t, t.TempDir())
	alone := open(t, Config{Log: old})
	furnish(t, alone, "shop")
	furnish(t, alone, "gone")
	must(t, alone.Do(t.Context(), Change{App: "gone", Remove: true}))
	furnish(t, alone, "late")
	want := dump(t, alone)

	log := &movingLog{Log: fresh}
	var changed, removed []string
	r := open(t, Config{
		Log: log, Later: true,
		Changed: func(a *App) { changed = append(changed, a.Name) },
		Removed: func(name string) { removed = append(removed, name) },
	})
	must(t, r.Refresh(t.Context()))
	if got := r.Apps(); len(got) != 1 {
		t.Fatalf("%d apps before the move", len(got))
	}
	log.Log, log.from = old, 9 // the last App is whole, the others are not
	must(t, r.Refresh(t.Context()))
	if r.App("late") == nil || r.App("shop") != nil {
		t.Errorf("halfway there are\n%s", dump(t, r))
	}
	log.from, changed = 0, nil
	must(t, r.Refresh(t.Context()))
	if got := dump(t, r); got != want || !r.Loaded() {
		t.Errorf("after the move there are\n%s, want\n%s", got, want)
	}
	if slices.Sort(changed); !slices.Equal(changed, []string{channel.DefaultApp, "late", "shop"}) || len(removed) > 0 {
		t.Errorf("told of %v, and of the end of %v", changed, removed)
	}
	must(t, r.Do(t.Context(), Change{App: "next", Create: &Settings{}}))
	must(t, alone.Refresh(t.Context()))
	if alone.App("next") == nil {
		t.Error("a change after the move is not in the log")
	}
}
