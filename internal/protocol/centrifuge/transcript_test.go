package centrifuge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// TestTranscripts plays testdata/*.txt: what a client sends, what the session is
// asked, what the client is sent. Lines begin with
//
//	>  a frame from the client; >+ another line of the same frame
//	<  a frame to the client; <+ another line of the same frame
//	=  what the session is asked
//	!  the code and reason of the disconnect
//	~  a line of the log
//	*  a stage direction, see direct
//	#  a remark
//
// Everything that happens must be written down. A blank line starts over with a
// new client.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p := newPlay(t, name)
			for in := bufio.NewScanner(f); in.Scan(); {
				p.n++
				p.play(in.Text())
			}
			p.finish()
		})
	}
}

type play struct {
	t     *testing.T
	name  string
	n     int // line
	log   *strings.Builder
	proto *Protocol
	fake  *fakeSession
	c     *client
	frame []string // lines of the client's frame in hand
}

func newPlay(t *testing.T, name string) *play {
	t.Helper()
	p := &play{t: t, name: name}
	p.again()
	return p
}

func (p *play) again() {
	p.log = &strings.Builder{}
	plain := slog.NewTextHandler(p.log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	p.proto = New(Config{Version: "test", Log: slog.New(plain), MaxDepth: 5, MaxCommands: 4, MaxReply: 200})
	p.fake = newFake()
	p.c = &client{proto: p.proto, s: p.fake}
}

func (p *play) errorf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("%s:%d: %s", p.name, p.n, fmt.Sprintf(format, args...))
}

func (p *play) play(line string) {
	mark, text, _ := strings.Cut(line, " ")
	if mark != ">+" && mark != "#" {
		p.deliver()
	}
	switch mark {
	case ">", ">+":
		p.frame = append(p.frame, unquote(text))
	case "<", "<+":
		p.expect(mark == "<+", text)
	case "=":
		p.fake.calls = take(p, "call", p.fake.calls, text)
	case "!":
		if d := p.fake.ended; d == nil || fmt.Sprint(d.Code, " ", d.Reason) != text {
			p.errorf("disconnect is %v, want %s", d, text)
		}
		p.fake.ended = &hub.Disconnect{} // looked at
	case "~":
		if got := strings.TrimSpace(p.log.String()); got != text {
			p.errorf("log is %q, want %q", got, text)
		}
		p.log.Reset()
	case "*":
		p.direct(strings.Fields(text))
	case "":
		p.finish()
		p.again()
	case "#":
	default:
		p.errorf("unknown mark %q", mark)
	}
}

// unquote lets a transcript hold bytes that a line of text cannot.
func unquote(s string) string {
	if strings.HasPrefix(s, "go:") {
		if q, err := strconv.Unquote(strings.TrimPrefix(s, "go:")); err == nil {
			return q
		}
	}
	return s
}

// deliver hands the client's frame to the protocol, in memory that is
// overwritten afterwards, as a transport's buffer is.
func (p *play) deliver() {
	if p.frame == nil {
		return
	}
	msg := []byte(strings.Join(p.frame, "\n"))
	p.frame = nil
	p.c.receive(msg)
	for i := range msg {
		msg[i] = 'X'
	}
}

func take(p *play, what string, list []string, want string) []string {
	p.t.Helper()
	if len(list) == 0 {
		p.errorf("no %s, want %s", what, want)
		return nil
	}
	if list[0] != want {
		p.errorf("%s is\n%s, want\n%s", what, list[0], want)
	}
	return list[1:]
}

func (p *play) expect(sameFrame bool, want string) {
	if sameFrame {
		if len(p.fake.sent) == 0 || !strings.HasPrefix(p.fake.sent[0], "\n") {
			p.errorf("the frame has no more lines, want %s", want)
			return
		}
		p.fake.sent[0] = p.fake.sent[0][1:]
	}
	if len(p.fake.sent) == 0 {
		p.errorf("no frame, want %s", want)
		return
	}
	got, rest, more := strings.Cut(p.fake.sent[0], "\n")
	if got != want {
		p.errorf("frame is\n%s, want\n%s", got, want)
	}
	if !json.Valid([]byte(got)) {
		p.errorf("%s is no JSON", got)
	}
	if p.fake.sent = p.fake.sent[1:]; more {
		p.fake.sent = append([]string{"\n" + rest}, p.fake.sent...)
	}
}

// finish checks that nothing happened beyond what is written down.
func (p *play) finish() {
	p.t.Helper()
	p.deliver()
	for _, what := range []struct {
		name string
		left any
		bad  bool
	}{
		{"frames", p.fake.sent, len(p.fake.sent) > 0},
		{"calls", p.fake.calls, len(p.fake.calls) > 0},
		{"disconnect", p.fake.ended, p.fake.ended != nil && p.fake.ended.Code != 0},
		{"log", p.log.String(), p.log.Len() > 0},
	} {
		if what.bad {
			p.errorf("%s not written down: %v", what.name, what.left)
		}
	}
}

// direct follows a stage direction.
func (p *play) direct(words []string) {
	f := p.fake
	switch words[0] {
	case "connected": // skip the handshake
		p.c.receive([]byte(`{"id":1,"connect":{}}`))
		f.sent, f.calls = nil, nil
	case "fail": // METHOD ERROR
		if f.errs[words[1]] = named[words[2]]; f.errs[words[1]] == nil {
			p.errorf("no error is named %s", words[2])
		}
	case "refuse": // METHOD CODE MESSAGE
		code, _ := strconv.Atoi(words[2])
		f.errs[words[1]] = &hub.BackendError{Code: uint32(code), Message: strings.Join(words[3:], " ")}
	case "answer": // RPCs: DATA
		f.rpc.Data = []byte(words[1])
	case "hold": // answers wait
		f.holding = true
	case "release":
		f.release()
	case "ping":
		p.c.ping()
	case "expire": // SECONDS
		n, _ := strconv.Atoi(words[1])
		f.expireIn = uint32(n)
		f.sub.ExpireIn = f.expireIn
	case "subscription": // results: WORDS
		p.subscription(words[1:])
	case "top": // EPOCH OFFSET
		f.history.Top = position(words[1], words[2])
	case "kept": // OFFSET DATA
		f.history.Publications = append(f.history.Publications, publication(words[1], words[2]))
	case "member": // CLIENT USER
		if f.members == nil {
			f.members = engine.Members{}
		}
		f.members[words[1]] = &engine.ClientInfo{Client: words[1], User: words[2]}
	case "tell-subscribed": // CHANNEL
		res := f.sub
		p.c.tell(hub.Notice{Channel: words[1], Subscribed: &res})
	case "tell-unsubscribed": // CHANNEL CODE REASON
		code, _ := strconv.Atoi(words[2])
		p.c.tell(hub.Notice{Channel: words[1], Unsubscribed: &hub.Unsubscribe{Code: uint32(code), Reason: strings.Join(words[3:], " ")}})
	default:
		p.errorf("unknown direction %q", words[0])
	}
}

func (p *play) subscription(words []string) {
	res := &p.fake.sub
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "recoverable":
			res.Recoverable = true
		case "positioned":
			res.Positioned = true
		case "recovered":
			res.Recovered = true
		case "delta":
			res.Delta = true
		case "at":
			epoch, offset, _ := strings.Cut(value, "/")
			res.Position = position(epoch, offset)
		case "data":
			res.Data = []byte(value)
		case "pub":
			offset, data, _ := strings.Cut(value, "/")
			res.Publications = append(res.Publications, publication(offset, data))
		default:
			p.errorf("unknown result %q", w)
		}
	}
}

func position(epoch, offset string) engine.Position {
	n, _ := strconv.ParseUint(offset, 10, 64)
	return engine.Position{Epoch: epoch, Offset: n}
}

func publication(offset, data string) *engine.Publication {
	n, _ := strconv.ParseUint(offset, 10, 64)
	return &engine.Publication{Offset: n, Data: []byte(data)}
}
