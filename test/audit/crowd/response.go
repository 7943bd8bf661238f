package crowd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/fanfare-push/fanfare/test/wire"
)

// respond asks for a response that lasts, and ends with leave.
func (s *subscriber) respond(hello, listen context.Context, req *http.Request) (res *http.Response, leave func(), err error) {
	ctx, cancel := context.WithCancel(listen)
	stop := context.AfterFunc(hello, cancel)
	res, err = s.http.Do(req.WithContext(ctx))
	began := stop()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	leave = func() { cancel(); _ = res.Body.Close() }
	switch {
	case !began || res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		err = errGone
	case res.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		err = wrongf("%s: HTTP %d %s", req.URL.Path, res.StatusCode, text)
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return res, leave, nil
}

// OverEvents is a bare EventSource.
var OverEvents = Way{Name: "EventSource", connection: func(hello, listen context.Context, s *subscriber, addr string) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/sse?channel="+url.QueryEscape(s.channel), http.NoBody)
	if err != nil {
		return err
	}
	if s.began {
		req.Header.Set("Last-Event-ID", s.position(s.last.Load()))
	}
	res, leave, err := s.respond(hello, listen, req)
	if err != nil {
		return err
	}
	defer leave()
	return wire.Events(res.Body, s.event)
}}

func (s *subscriber) event(fields wire.Event) error {
	var m struct {
		Epoch     string          `json:"epoch"`
		Offset    uint64          `json:"offset"`
		Recovered bool            `json:"recovered"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(fields["data"]), &m); err != nil {
		return wrongf("%v: %v", fields, err)
	}
	switch fields["event"] {
	case "subscribed":
		s.subscribed(m.Epoch, m.Offset, true, m.Recovered)
		return nil
	case "disconnect":
		return errGone
	case "":
		if want := s.position(m.Offset); fields["id"] != want {
			return wrongf("offset %d has the id %s, want %s", m.Offset, fields["id"], want)
		}
		return s.shown(m.Offset, m.Data)
	}
	return wrongf("%v", fields)
}

// position is where the subscriber stands at offset, as its protocol writes it.
func (s *subscriber) position(offset uint64) string {
	text, _ := json.Marshal(offset)
	return s.channel + ":" + s.epoch + ":" + string(text)
}

// OverHTTPStream speaks the Centrifuge protocol in JSON in the response to a
// request. What the client says goes through /emulation, to any server there is.
var OverHTTPStream = Way{Name: "HTTP stream", connection: func(hello, listen context.Context, s *subscriber, addr string) error {
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/connection/http_stream", strings.NewReader(`{"id":1,"connect":{}}`))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, leave, err := s.respond(hello, listen, req)
	if err != nil {
		return err
	}
	defer leave()
	e := &emulated{subscriber: s}
	stop := context.AfterFunc(hello, func() {
		if !e.there.Load() {
			leave()
		}
	})
	defer stop()
	for in := bufio.NewReader(res.Body); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		if err := e.line(hello, listen, line); err != nil {
			return err
		}
	}
}}

// emulated is a session whose client speaks through /emulation.
type emulated struct {
	*subscriber
	session, node string
	there         atomic.Bool // it is subscribed
}

func (e *emulated) line(hello, listen context.Context, line []byte) error {
	list, pings, err := wire.Messages(line)
	if err != nil {
		return wrongf("%s", err)
	}
	for range pings {
		if err := e.say(listen, "{}"); err != nil {
			return err
		}
	}
	for i := range list {
		m := &list[i]
		if m.Connect != nil {
			e.session, e.node = m.Connect.Session, m.Connect.Node
			err = e.say(hello, e.subscribe())
		} else {
			err = e.take(m)
			e.there.Store(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// say sends a command through whatever server it finds.
func (e *emulated) say(ctx context.Context, command string) error {
	addr, err := e.Find(ctx, e.random.IntN(len(e.pubs)), e.random)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"session": e.session, "node": e.node, "data": command})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.CallTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/emulation", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := e.http.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return errGone
	}
	return nil
}
