package webhook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/local"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// hour is a server that tells while its backend is dead, on a disk that can be had
// as a crash would leave it.
type hour struct {
	t    *testing.T
	disk *vfs.MemFS
	r    *receiver
	e    *local.Engine
	d    *Dispatcher
	want []string
}

func (h *hour) start() {
	h.t.Helper()
	var err error
	if h.e, err = local.Open(local.Config{Dir: "data", FS: h.disk, ReserveBytes: 1}); err != nil {
		h.t.Fatal(err)
	}
	h.e.Attach(silent{})
	cfg := everything(h.e, h.r)
	cfg.RetryFor = 2 * time.Hour // the default of webhook.retry_for
	h.d = start(h.t, cfg)
}

func (h *hour) stop() {
	h.t.Helper()
	h.d.Close(h.t.Context())
	if err := h.e.Close(); err != nil {
		h.t.Error(err)
	}
}

// kill goes on with what a power cut leaves of the disk: what was synced. The old
// process ends on a disk that nobody looks at any more.
func (h *hour) kill() {
	synctest.Wait()
	left := h.disk.CrashClone(vfs.CrashCloneCfg{})
	h.stop()
	h.disk = left
	h.start()
}

// happen brings so much to tell.
func (h *hour) happen(times int) {
	for range times {
		offset := uint64(len(h.want) + 1)
		h.d.Tell(hub.Tell{Kind: hub.TellPublished, App: channel.DefaultApp, Channel: "a", At: engine.Position{Epoch: "e", Offset: offset}})
		h.want = append(h.want, fmt.Sprintf(`{"name":"published","channel":"a","epoch":"e","offset":%d}`, offset))
	}
}

// An hour without a backend loses nothing and changes no order, and neither does a
// kill in it; who was connected then is told to have gone.
func TestAnHourOnDisk(t *testing.T) {
	for name, killed := range map[string]bool{"undisturbed": false, "killed meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hour{t: t, disk: vfs.NewCrashableMem(), r: &receiver{t: t, status: http.StatusServiceUnavailable}}
				h.start()
				tell(h.d, hub.TellConnected, "one", "")
				before := 0
				for minute := range 60 {
					if minute == 30 {
						before = len(h.want)
						if killed {
							h.kill()
						}
					}
					h.happen(10)
					time.Sleep(time.Minute)
				}
				h.r.answer(0)
				time.Sleep(2 * lastDelay)
				synctest.Wait()
				got := h.r.events()
				if len(got) == 0 || !strings.Contains(got[0], `"connected"`) {
					t.Fatalf("told first: %.100q", got)
				}
				got = got[1:]
				if killed && len(got) > before {
					gone := got[before]
					if !strings.Contains(gone, `"disconnected"`) || !strings.Contains(gone, `"one"`) {
						t.Errorf("told after the kill: %s", gone)
					}
					got = append(got[:before:before], got[before+1:]...)
				}
				same(t, got, h.want...)
				if letters, err := h.d.DeadLetters(t.Context(), 10); err != nil || len(letters) != 0 {
					t.Errorf("%d dead letters, %v", len(letters), err)
				}
				h.stop()
			})
		})
	}
}
