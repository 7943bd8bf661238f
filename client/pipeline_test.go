package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// channelFake is a server's channel: it stores messages by key, and does what a
// script says instead of the n-th request or message.
type channelFake struct {
	mu       sync.Mutex
	stored   []string // data
	keys     map[string]int
	requests int
	onBatch  func(n int) (status int, reply string) // status 0: serve it
	onData   func(data string) string               // an error reply; "": store it
}

func (f *channelFake) answer(method string, body map[string]any) (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if f.onBatch != nil {
		if status, reply := f.onBatch(f.requests); status != 0 {
			if status == http.StatusServiceUnavailable {
				f.store(body) // the answer is lost, not the deed
			}
			return status, reply
		}
	}
	return http.StatusOK, `{"result":{"replies":[` + strings.Join(f.store(body), ",") + `]}}`
}

func (f *channelFake) store(body map[string]any) (replies []string) {
	commands, _ := body["commands"].([]any)
	for _, c := range commands {
		command, _ := c.(map[string]any)
		m, _ := command["publish"].(map[string]any)
		data, key := fmt.Sprint(m["data"]), fmt.Sprint(m["idempotency_key"])
		if f.onData != nil {
			if e := f.onData(data); e != "" {
				replies = append(replies, `{"error":`+e+`}`)
				continue
			}
		}
		offset, twice := f.keys[key]
		if !twice {
			f.stored = append(f.stored, data)
			offset = len(f.stored)
			f.keys[key] = offset
		}
		replies = append(replies, fmt.Sprintf(`{"publish":{"offset":%d,"epoch":"E","duplicate":%t}}`, offset, twice))
	}
	return replies
}

// feed publishes the numbers from 1 to n and closes.
func (f *channelFake) feed(t *testing.T, n int, cfg PipelineConfig) error {
	t.Helper()
	f.keys = make(map[string]int)
	p := apiServer(t, f.answer).NewPipeline(testContext(t), cfg)
	for i := range n {
		if err := p.Publish(Message{Channel: "c", Data: json.RawMessage(fmt.Sprint(i + 1))}); err != nil {
			break
		}
	}
	return p.Close()
}

func (f *channelFake) inOrder(t *testing.T, n int) {
	t.Helper()
	if len(f.stored) != n {
		t.Fatalf("%d stored, want %d", len(f.stored), n)
	}
	for i, data := range f.stored {
		if data != fmt.Sprint(i+1) {
			t.Fatalf("message %d is %s", i+1, data)
		}
	}
}

func TestPipelineKeepsOrderAndBatches(t *testing.T) {
	const n = 3000
	var f channelFake
	var last uint64
	err := f.feed(t, n, PipelineConfig{OnResult: func(m *Message, p Published, err error) error {
		if err != nil || p.Offset != last+1 || string(m.Data) != fmt.Sprint(p.Offset) {
			t.Errorf("%s: %+v, %v", m.Data, p, err)
		}
		last = p.Offset
		return nil
	}})
	if err != nil || last != n {
		t.Fatalf("%v after %d", err, last)
	}
	f.inOrder(t, n)
	if f.requests >= n {
		t.Errorf("%d requests for %d messages", f.requests, n)
	}
}

func TestPipelineRepeatsWhatIsUnknown(t *testing.T) {
	f := channelFake{onBatch: func(n int) (int, string) {
		switch n {
		case 1:
			return http.StatusServiceUnavailable, `{"error":{"code":100,"message":"no answer in time","temporary":true}}`
		case 2:
			return http.StatusBadGateway, ``
		}
		return 0, ""
	}}
	if err := f.feed(t, 100, PipelineConfig{}); err != nil {
		t.Fatal(err)
	}
	f.inOrder(t, 100)
}

func TestPipelineBringsOnWhatWasRefusedForNow(t *testing.T) {
	refused := 0
	f := channelFake{onData: func(data string) string {
		if data == "5" && refused < 3 {
			refused++
			return `{"code":111,"message":"busy","temporary":true}`
		}
		return ""
	}}
	if err := f.feed(t, 20, PipelineConfig{}); err != nil {
		t.Fatal(err)
	}
	if len(f.stored) != 20 || refused != 3 {
		t.Errorf("%d stored, refused %d times", len(f.stored), refused)
	}
}

func TestPipelineEndsAtAnError(t *testing.T) {
	f := channelFake{onData: func(data string) string {
		if data == "5" {
			return `{"code":106,"message":"too large"}`
		}
		return ""
	}}
	if err := f.feed(t, 20, PipelineConfig{}); CodeOf(err) != CodeLimitExceeded {
		t.Errorf("ended with %v", err)
	}
}

func TestPipelineGoesOnAfterAnErrorIfTold(t *testing.T) {
	f := channelFake{onData: func(data string) string {
		if data == "5" {
			return `{"code":106,"message":"too large"}`
		}
		return ""
	}}
	failed := ""
	err := f.feed(t, 20, PipelineConfig{OnResult: func(m *Message, _ Published, err error) error {
		if err != nil {
			failed += string(m.Data)
		}
		return nil
	}})
	if err != nil || failed != "5" || len(f.stored) != 19 {
		t.Errorf("%v, failed %q, %d stored", err, failed, len(f.stored))
	}
}

// A request that is refused as a whole, because of one message in it, is taken
// apart.
func TestPipelineFindsTheMessageAtFault(t *testing.T) {
	var f channelFake
	f.keys = make(map[string]int)
	a := apiServer(t, func(_ string, body map[string]any) (int, string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		commands, _ := body["commands"].([]any)
		if strings.Contains(fmt.Sprint(commands), "bad") {
			return http.StatusBadRequest, `{"error":{"code":107,"message":"bad request"}}`
		}
		return http.StatusOK, `{"result":{"replies":[` + strings.Join(f.store(body), ",") + `]}}`
	})
	var failed []string
	p := a.NewPipeline(testContext(t), PipelineConfig{OnResult: func(m *Message, _ Published, err error) error {
		if err != nil {
			failed = append(failed, string(m.Data))
		}
		return nil
	}})
	for _, data := range []string{"1", "2", `"bad"`, "3", "4"} {
		if err := p.Publish(Message{Channel: "c", Data: json.RawMessage(data)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil || len(failed) != 1 {
		t.Errorf("%v, failed %q", err, failed)
	}
	f.inOrder(t, 4)
}

func TestPipelineGivesUp(t *testing.T) {
	f := channelFake{onBatch: func(int) (int, string) { return http.StatusBadGateway, "" }}
	var e *Error
	if err := f.feed(t, 3, PipelineConfig{RetryFor: time.Nanosecond}); !errors.As(err, &e) || e.Status != http.StatusBadGateway {
		t.Errorf("ended with %v", err)
	}
}

func TestPipelineEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	asked := make(chan struct{}, 1)
	a := apiServer(t, func(string, map[string]any) (int, string) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return http.StatusBadGateway, ""
	})
	p := a.NewPipeline(ctx, PipelineConfig{})
	if err := p.Publish(Message{Channel: "c", Data: json.RawMessage("1")}); err != nil {
		t.Fatal(err)
	}
	<-asked
	cancel()
	<-p.done
	if err := p.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if err := p.Publish(Message{Channel: "c", Data: json.RawMessage("1")}); !errors.Is(err, ErrPipelineClosed) {
		t.Errorf("published after Close: %v", err)
	}
}
