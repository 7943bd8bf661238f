package pusher

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
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// TestTranscripts plays testdata/*.txt: what a client sends, what the session is
// asked, what the client is sent. Lines begin with
//
//	>  a message from the client
//	<  a message to the client
//	=  what the session is asked
//	!  the code and reason of the disconnect
//	~  a line of the log
//	*  a stage direction, see direct
//	#  a remark
//
// In a message from the client, SIGN<<text>> stands for the signature of a text.
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

const secret = "s3cret"

type play struct {
	t    *testing.T
	name string
	n    int // line
	now  time.Time
	log  *strings.Builder
	cfg  Config
	fake *fakeSession
	c    *client
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
	p.now = time.UnixMilli(1_000_000)
	p.fake = &fakeSession{errs: map[string]error{}}
	p.cfg = Config{
		Keys: fakeKeys{"key": secret}, Log: slog.New(plain), Tell: fakeTeller{p.fake}, EventRate: 2, MaxData: 40,
		ClientEvents: true, Now: func() time.Time { return p.now },
	}
	p.c = &client{p: New(p.cfg), s: p.fake}
}

func (p *play) errorf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("%s:%d: %s", p.name, p.n, fmt.Sprintf(format, args...))
}

func (p *play) play(line string) {
	p.t.Helper()
	mark, text, _ := strings.Cut(line, " ")
	switch mark {
	case ">":
		p.receive(p.signed(text))
	case "<":
		p.fake.sent = take(p, "message", p.fake.sent, text)
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

// signed replaces SIGN<<…>>; what is signed may hold escaped quotes.
func (p *play) signed(text string) string {
	for {
		before, rest, found := strings.Cut(text, "SIGN<<")
		if !found {
			return text
		}
		what, after, _ := strings.Cut(rest, ">>")
		plain, err := strconv.Unquote(`"` + what + `"`)
		if err != nil {
			p.errorf("SIGN<<%s>>: %v", what, err)
		}
		text = before + Sign(secret, plain) + after
	}
}

// receive hands a message to the protocol, in memory that is overwritten
// afterwards, as a transport's buffer is.
func (p *play) receive(text string) {
	msg := []byte(text)
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
	if what == "message" && !json.Valid([]byte(list[0])) {
		p.errorf("%s is no JSON", list[0])
	}
	return list[1:]
}

// finish checks that nothing happened beyond what is written down.
func (p *play) finish() {
	p.t.Helper()
	for _, what := range []struct {
		name string
		left any
		bad  bool
	}{
		{"messages", strings.Join(p.fake.sent, "\n"), len(p.fake.sent) > 0},
		{"calls", strings.Join(p.fake.calls, "\n"), len(p.fake.calls) > 0},
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
	p.t.Helper()
	f := p.fake
	switch words[0] {
	case "open": // KEY PROTOCOL CLIENT VERSION, "-" for none
		for i := range words {
			words[i] = strings.TrimSuffix(words[i], "-")
		}
		p.c.open(Hello{Key: words[1], Protocol: words[2], Client: words[3], Version: words[4]})
	case "connected": // skip the handshake
		p.c.open(Hello{Key: "key", Protocol: "7"})
		f.sent, f.calls = nil, nil
	case "signed-in": // USER
		data := fmt.Sprintf(`{"id":%q,"user_info":{"name":"Ann"}}`, words[1])
		msg, err := json.Marshal(map[string]any{"event": eventSignin, "data": map[string]string{
			"auth": "key:" + Sign(secret, socketID+"::user::"+data), "user_data": data,
		}})
		if err != nil {
			p.errorf("%v", err)
		}
		p.receive(string(msg))
		f.sent, f.calls = nil, nil
	case "set": // SETTING
		p.set(words[1])
	case "fail": // METHOD ERROR
		if f.errs[words[1]] = named[words[2]]; f.errs[words[1]] == nil {
			p.errorf("no error is named %s", words[2])
		}
	case "hold": // answers wait
		f.holding = true
	case "release":
		f.release()
	case "later": // DURATION
		d, err := time.ParseDuration(words[1])
		if err != nil {
			p.errorf("%v", err)
		}
		p.now = p.now.Add(d)
	case "ping":
		p.c.ping()
	case "online": // USER…
		f.online = words[1:]
	case "member": // CLIENT USER INFO, "-" for none
		p.member(words[1:])
	case "kept": // EVENT DATA
		f.sub.Publications = []*engine.Publication{{Offset: 1, Event: words[1], Data: []byte(words[2])}}
	case "tell-subscribed": // CHANNEL
		res := f.sub
		p.c.tell(hub.Notice{Channel: words[1], Subscribed: &res})
	case "tell-unsubscribed": // CHANNEL CODE REASON
		code, err := strconv.ParseUint(words[2], 10, 32)
		if err != nil {
			p.errorf("%v", err)
		}
		p.c.tell(hub.Notice{Channel: words[1], Unsubscribed: &hub.Unsubscribe{Code: uint32(code), Reason: strings.Join(words[3:], " ")}})
	default:
		p.errorf("unknown direction %q", words[0])
	}
}

func (p *play) set(what string) {
	switch what {
	case "probes":
		p.fake.probes = true
		return
	case "no-client-events":
		p.cfg.ClientEvents = false
	case "count":
		p.cfg.SubscriptionCount = true
	case "no-secret":
		p.cfg.Keys = fakeKeys{"key": ""}
	case "no-key":
		p.cfg.Keys = fakeKeys{}
	default:
		p.errorf("unknown setting %q", what)
	}
	p.c.p = New(p.cfg)
}

func (p *play) member(words []string) {
	for i := range words {
		words[i] = strings.TrimSuffix(words[i], "-")
	}
	if p.fake.sub.Members == nil {
		p.fake.sub.Members = engine.Members{}
	}
	p.fake.sub.Members[words[0]] = &engine.ClientInfo{Client: words[0], User: words[1], ChanInfo: []byte(words[2])}
}
