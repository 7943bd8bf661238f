package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// xhrPipe is a session made of responses, one after the other, as pusher-js falls
// back to.
type xhrPipe struct {
	e      *env
	path   string
	leave  context.CancelFunc
	frames chan []byte
	failed error // once frames is closed
}

// pusherXHR opens a session; how is the last part of the path, and where a
// stream is left.
func pusherXHR(how string) func(e *env) (pipe, error) {
	return func(e *env) (pipe, error) {
		ctx, leave := context.WithCancel(context.WithoutCancel(e.Context()))
		p := &xhrPipe{e: e, path: "/pusher/app/key/7/" + rand.Text()[:8] + "/", leave: leave, frames: make(chan []byte)}
		go func() {
			defer close(p.frames)
			for p.failed == nil {
				p.failed = p.receive(ctx, how)
			}
		}()
		return p, nil
	}
}

// maxStream is where pusher-js leaves a stream for the next.
const maxStream = 256 << 10

// receive reads one response, line by line.
func (p *xhrPipe) receive(ctx context.Context, how string) error {
	r, err := post(p.e, p.path+how+"?protocol=7&client=suite&version=1", "text/plain", nil)(ctx)
	if err != nil {
		return err
	}
	res, err := p.e.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return faultOf(res)
	}
	size := 0
	for in := bufio.NewReader(res.Body); size <= maxStream; {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && (how == "xhr" || len(line) == 0) {
			return nil // there will be another response
		}
		if err != nil {
			return err
		}
		size += len(line)
		if err := p.line(ctx, bytes.TrimSpace(line)); err != nil {
			return err
		}
	}
	return nil
}

func (p *xhrPipe) line(ctx context.Context, line []byte) error {
	if len(line) == 0 {
		return nil
	}
	switch line[0] {
	case 'a':
		var texts []string
		if err := json.Unmarshal(line[1:], &texts); err != nil {
			return fmt.Errorf("%.100q: %w", line, err)
		}
		for _, text := range texts {
			select {
			case p.frames <- []byte(text):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	case 'h':
		return p.say(ctx)
	case 'c':
		var end []any
		if err := json.Unmarshal(line[1:], &end); err != nil || len(end) != 2 {
			return fmt.Errorf("%.100q: %w", line, err)
		}
		code, _ := end[0].(float64)
		return endOf{int(code)}
	}
	return nil
}

// say posts messages; none says that the client is there.
func (p *xhrPipe) say(ctx context.Context, texts ...string) error {
	body, err := json.Marshal(append([]string{}, texts...))
	if err != nil {
		return err
	}
	r, err := post(p.e, p.path+"xhr_send", "text/plain", body)(ctx)
	if err != nil {
		return err
	}
	res, err := p.e.http.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusOK {
		return fmt.Errorf("xhr_send: HTTP %d", res.StatusCode)
	}
	return nil
}

func (p *xhrPipe) send(ctx context.Context, frame []byte) error { return p.say(ctx, string(frame)) }

func (p *xhrPipe) recv(ctx context.Context) ([]byte, error) {
	select {
	case frame, open := <-p.frames:
		if !open {
			return nil, p.failed
		}
		return frame, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *xhrPipe) close() {
	p.leave()
	for range p.frames { // until the reader is gone
	}
}
