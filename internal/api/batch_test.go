package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// offsetOfName answers with the number in the channel's name, later for lower
// ones, so that answers come in the opposite order.
func offsetOfName(p hub.Publish) (engine.PublishResult, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(p.Channel, "c"), 10, 64)
	if err != nil {
		return engine.PublishResult{}, hub.ErrUnknownChannel
	}
	<-time.After(time.Second - time.Duration(n)*time.Millisecond) // virtual time
	return engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: n}}, nil
}

// crowd counts how many are inside at once.
type crowd struct{ now, most atomic.Int64 }

func (c *crowd) inside(fn func(hub.Publish) (engine.PublishResult, error)) func(hub.Publish) (engine.PublishResult, error) {
	return func(p hub.Publish) (engine.PublishResult, error) {
		now := c.now.Add(1)
		defer c.now.Add(-1)
		for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
		}
		return fn(p)
	}
}

// TestBroadcast: handed in together, in order, and answered in order.
func TestBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(Limits{})
		f.hub.onPublish = offsetOfName
		var channels, want []string
		for i := 1; i <= 200; i++ {
			channels = append(channels, fmt.Sprintf(`"c%d"`, i))
			want = append(want, fmt.Sprintf(`{"result":{"offset":%d,"epoch":"e"}}`, i))
		}
		channels[17], want[17] = `"nowhere:x"`, `{"error":{"code":102,"message":"unknown channel: no namespace \"nowhere\" is defined"}}`
		channels[42], want[42] = `""`, `{"error":{"code":107,"message":"channel is required"}}`
		got := f.good(t, "broadcast", `{"channels":[`+strings.Join(channels, ",")+`],"data":1}`)
		if got != `{"responses":[`+strings.Join(want, ",")+`]}` {
			t.Error(got)
		}
		if got := fmt.Sprint(f.hub.together); got != "[199]" {
			t.Errorf("handed in: %s", got)
		}
	})
}

// TestBatchPublishesTogether: publishes that follow each other do not wait for
// each other's commit, and what follows them waits for all.
func TestBatchPublishesTogether(t *testing.T) {
	f := newFixture(Limits{})
	var asked []string
	f.hub.onPublish = func(p hub.Publish) (engine.PublishResult, error) {
		asked = append(asked, p.Channel+"="+string(p.Data))
		if p.Channel == "full" {
			return engine.PublishResult{}, hub.ErrBusy
		}
		return engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: uint64(len(asked))}}, nil
	}
	got := f.good(t, "batch", `{"commands":[`+strings.Join([]string{
		`{"publish":{"channel":"a","data":1}}`, `{"publish":{"channel":"a"}}`, `{"publish":{"channel":"full","data":2}}`,
		`{"publish":{"channel":"a","data":3}}`, `{"launch":{}}`, `{"publish":{"channel":"b","data":4}}`, `{"unsubscribe":{"user":"u"}}`,
		`{"publish":{"channel":"b","data":5}}`, `{"publish":{"channel":"","data":6}}`,
	}, ",")+`]}`)
	want := `{"replies":[` + strings.Join([]string{
		`{"publish":{"offset":1,"epoch":"e"}}`, `{"error":{"code":107,"message":"data or b64data is required"}}`,
		`{"error":{"code":111,"message":"too many requests: nothing was stored, try again","temporary":true}}`,
		`{"publish":{"offset":3,"epoch":"e"}}`, `{"error":{"code":104,"message":"there is no method \"launch\""}}`,
		`{"publish":{"offset":4,"epoch":"e"}}`, `{"unsubscribe":{}}`,
		`{"publish":{"offset":5,"epoch":"e"}}`, `{"error":{"code":107,"message":"channel is required"}}`,
	}, ",") + `]}`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := fmt.Sprint(asked, f.hub.together); got != "[a=1 full=2 a=3 b=4 b=5] [3 1]" {
		t.Errorf("asked %s", got)
	}
}

// TestParallelBatch runs many at once, but not all of them.
func TestParallelBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(Limits{})
		var c crowd
		f.hub.onPublish = c.inside(offsetOfName)
		commands := strings.Repeat(`{"publish":{"channel":"c1","data":1}},`, 199) + `{"publish":{"channel":"c2","data":1}}`
		f.good(t, "batch", `{"commands":[`+commands+`],"parallel":true}`)
		if most := c.most.Load(); most != maxParallel {
			t.Errorf("%d at once, want %d", most, maxParallel)
		}
	})
}

// TestBatch: in order, or at once; answered in order.
func TestBatch(t *testing.T) {
	for _, parallel := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(Limits{})
			var c crowd
			var mu sync.Mutex
			var done []uint64
			f.hub.onPublish = c.inside(func(p hub.Publish) (engine.PublishResult, error) {
				res, err := offsetOfName(p)
				mu.Lock()
				defer mu.Unlock()
				done = append(done, res.Offset)
				return res, err
			})
			commands := []string{
				`{"publish":{"channel":"c1","data":1}}`, `{"publish":{"channel":"c2","data":1}}`,
				`{"presence_stats":{"channel":"c3"}}`, `{"publish":null,"info":{}}`,
				`{"broadcast":{"channels":["c5"],"data":1}}`, `{"unsubscribe":{"user":"u"}}`,
			}
			want := []string{
				`{"publish":{"offset":1,"epoch":"e"}}`, `{"publish":{"offset":2,"epoch":"e"}}`,
				`{"presence_stats":{"num_clients":3,"num_users":2}}`, `{"info":` + f.good(t, "info", "") + `}`,
				`{"broadcast":{"responses":[{"result":{"offset":5,"epoch":"e"}}]}}`, `{"unsubscribe":{}}`,
			}
			got := f.good(t, "batch", fmt.Sprintf(`{"commands":[%s],"parallel":%t}`, strings.Join(commands, ","), parallel))
			if got != `{"replies":[`+strings.Join(want, ",")+`]}` {
				t.Error(got)
			}
			order, most := "[1 2 5]", int64(1)
			if parallel {
				order, most = "[5 2 1]", 3
			}
			if fmt.Sprint(done) != order || c.most.Load() != most {
				t.Errorf("parallel %t: done in the order %v, %d at once", parallel, done, c.most.Load())
			}
		})
	}
}

// TestBatchErrors: what is wrong with one command concerns that command alone.
func TestBatchErrors(t *testing.T) {
	commands := map[string]string{
		`{}`:                                   `{"error":{"code":107,"message":"a command names a method, as in {\"publish\": {…}}"}}`,
		`{"launch":{}}`:                        `{"error":{"code":104,"message":"there is no method \"launch\""}}`,
		`{"batch":{"commands":[]}}`:            `{"error":{"code":104,"message":"there is no method \"batch\""}}`,
		`{"info":{},"channels":{}}`:            `{"error":{"code":107,"message":"a command has one method, not info and channels"}}`,
		`{"publish":{"channel":"a"}}`:          `{"error":{"code":107,"message":"data or b64data is required"}}`,
		`{"publish":{"channel":"a","data":1}}`: `{"error":{"code":111,"message":"too many requests: nothing was stored, try again","temporary":true}}`,
		`{"rpc":{"method":"m"}}`:               `{"error":{"code":104,"message":"there is no RPC method \"m\""}}`,
	}
	for _, parallel := range []bool{false, true} {
		for command, want := range commands {
			f := newFixture(Limits{})
			f.hub.err = hub.ErrBusy
			got := f.good(t, "batch", fmt.Sprintf(`{"commands":[%s,{"info":{}}],"parallel":%t}`, command, parallel))
			if !strings.HasPrefix(got, `{"replies":[`+want+`,{"info":{`) {
				t.Errorf("%s: %s\nwant %s", command, got, want)
			}
		}
	}
}

// TestMalformedBatch does nothing at all.
func TestMalformedBatch(t *testing.T) {
	f := newFixture(Limits{MaxCommands: 2})
	good := `{"publish":{"channel":"a","data":1}}`
	for last, code := range map[string]uint32{`{"publish":{"channel":1}}`: 107, `{"publish":[]}`: 107} {
		if _, e := f.refused(t, post("batch", `{"commands":[`+good+`,`+last+`]}`)); e.Code != code {
			t.Errorf("%s: %+v", last, e)
		}
	}
	if asked := f.hub.questions(); asked != nil {
		t.Errorf("asked %v", asked)
	}
}

// TestBatchReplyIsBounded: a small request cannot make an endless reply.
func TestBatchReplyIsBounded(t *testing.T) {
	for _, parallel := range []bool{false, true} {
		f := newFixture(Limits{MaxReply: 1000})
		commands := strings.Repeat(`{"info":{}},`, 99) + `{"publish":{"channel":"a","data":1}}`
		got := f.good(t, "batch", fmt.Sprintf(`{"commands":[%s],"parallel":%t}`, commands, parallel))
		var res struct {
			Replies []struct{ Error *wireError }
		}
		unmarshal(t, got, &res)
		last := res.Replies[len(res.Replies)-1].Error
		if len(res.Replies) != 100 || res.Replies[0].Error != nil || last == nil || last.Code != 106 || !strings.HasPrefix(last.Message, "not done") {
			t.Errorf("parallel %t: %d replies, the last %+v", parallel, len(res.Replies), last)
		}
		if asked := f.hub.questions(); asked != nil {
			t.Errorf("parallel %t: done in spite of it: %v", parallel, asked)
		}
	}
}

// TestBatchLogsInternalErrors once each.
func TestBatchLogsInternalErrors(t *testing.T) {
	f := newFixture(Limits{})
	f.hub.err = errors.New("on fire")
	status, body := f.call(t, post("batch", `{"commands":[{"publish":{"channel":"a","data":1}}]}`, header("X-Centrifugo-Error-Mode", "transport")))
	if status != http.StatusOK || strings.Contains(body, "fire") || !strings.Contains(body, `"request_id":"`) {
		t.Errorf("HTTP %d: %s", status, body)
	}
	if line := f.log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "on fire") {
		t.Errorf("logged %s", line)
	}
}
