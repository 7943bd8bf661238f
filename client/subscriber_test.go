package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const subscribeA = `{"id":2,"subscribe":{"channel":"a","positioned":true,"recoverable":true}}`

// listener is a Subscriber that writes down what it is told, and is stopped by
// the publication "stop".
type listener struct {
	told []string
	stop context.CancelFunc
}

func (l *listener) config(channels ...string) SubscriberConfig {
	cfg := SubscriberConfig{
		MinDelay: time.Millisecond, MaxDelay: time.Millisecond,
		OnPublication: func(channel string, p *Publication) {
			if string(p.Data) == `"stop"` {
				l.stop()
				return
			}
			l.told = append(l.told, fmt.Sprintf("%s@%d %s", channel, p.Offset, p.Data))
		},
		OnSubscribed: func(channel string, s Subscribed) {
			l.told = append(l.told, fmt.Sprintf("%s from %s/%d recovered=%t lost=%t", channel, s.Epoch, s.Offset, s.Recovered, s.Lost))
		},
		OnDisconnected: func(err error, _ time.Duration) {
			what := "cut"
			if code := CodeOf(err); code != 0 {
				what = fmt.Sprint(code)
			}
			l.told = append(l.told, what)
		},
	}
	for _, name := range channels {
		cfg.Channels = append(cfg.Channels, Channel{Name: name})
	}
	return cfg
}

func (l *listener) run(t *testing.T, addr string, cfg SubscriberConfig) error {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	l.stop = cancel
	s, err := NewSubscriber(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s.Run(ctx)
}

func (l *listener) expect(t *testing.T, err error, want ...string) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if !slices.Equal(l.told, want) {
		t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(l.told, "\n\t"), strings.Join(want, "\n\t"))
	}
}

const stop = `{"push":{"channel":"a","pub":{"data":"stop"}}}`

func TestSubscriberRecovers(t *testing.T) {
	addr := serve(
		t,
		func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(`{"id":2,"subscribe":{"recoverable":true,"positioned":true,"epoch":"E","offset":4}}`,
				`{"push":{"channel":"a","pub":{"data":5,"offset":5}}}`)
			p.send(`{"push":{"channel":"a","pub":{"data":"none"}}}`)
		},
		nil,
		func(p *peer) {
			p.welcome()
			p.expect(`{"id":2,"subscribe":{"channel":"a","positioned":true,"recoverable":true,"recover":true,"epoch":"E","offset":5}}`)
			p.send(`{"id":2,"subscribe":{"recoverable":true,"epoch":"E","offset":5,"was_recovering":true,"recovered":true,"publications":[{"data":6,"offset":6},{"data":7,"offset":7}]}}`,
				`{"push":{"channel":"a","pub":{"data":8,"offset":8}}}`)
			p.close(3001, "shutdown")
		},
		func(p *peer) {
			p.welcome()
			p.expect(`{"id":2,"subscribe":{"channel":"a","positioned":true,"recoverable":true,"recover":true,"epoch":"E","offset":8}}`)
			p.send(`{"id":2,"subscribe":{"recoverable":true,"epoch":"F","offset":2,"was_recovering":true}}`,
				`{"push":{"channel":"a","pub":{"data":3,"offset":3}}}`, stop)
			p.wait()
		},
	)
	var l listener
	err := l.run(t, addr, l.config("a"))
	l.expect(t, err, "a from E/4 recovered=false lost=false", "a@5 5", `a@0 "none"`, "cut", "cut",
		"a from E/5 recovered=true lost=false", "a@6 6", "a@7 7", "a@8 8", "3001",
		"a from F/2 recovered=false lost=true", "a@3 3")
}

func TestSubscriberStartsWhereItIsTold(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.welcome()
		p.expect(`{"id":2,"subscribe":{"channel":"a","token":"T","positioned":true,"recoverable":true,"recover":true,"epoch":"E","offset":1}}`)
		// A server that answers with the channel's top.
		p.send(`{"id":2,"subscribe":{"recoverable":true,"epoch":"E","offset":2,"recovered":true,"publications":[{"data":2,"offset":2}]}}`, stop)
		p.wait()
	})
	var l listener
	cfg := l.config()
	cfg.Channels = []Channel{{Name: "a", Token: "T", Since: &Position{"E", 1}}}
	l.expect(t, l.run(t, addr, cfg), "a from E/1 recovered=true lost=false", "a@2 2")
}

func TestSubscriberWithoutHistoryTellsOfEveryReturn(t *testing.T) {
	once := func(end string) func(p *peer) {
		return func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(`{"id":2,"subscribe":{}}`, end)
			if end == stop {
				p.wait()
			}
		}
	}
	var l listener
	err := l.run(t, serve(t, once(`{"push":{"channel":"a","pub":{"data":1}}}`), once(stop)), l.config("a"))
	l.expect(t, err, "a from /0 recovered=false lost=false", "a@0 1", "cut", "a from /0 recovered=false lost=true")
}

func TestSubscriberAnswersPingsAndListensToSeveral(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.welcome()
		p.expect(subscribeA + "\n" + `{"id":3,"subscribe":{"channel":"b","positioned":true,"recoverable":true}}`)
		p.send(`{}`)
		p.expect(`{}`)
		p.send(`{"id":3,"subscribe":{}}`, `{"push":{"channel":"b","pub":{"data":1}}}`,
			`{"push":{"channel":"a","pub":{"data":"early"}}}`, // not subscribed yet
			`{"push":{"channel":"other","pub":{"data":1}}}`,
			`{"push":{"channel":"b","join":{"info":{"user":"u"}}}}`, `{"unknown":1}`, ``,
			`{"id":2,"subscribe":{}}`, stop)
		p.wait()
	})
	var l listener
	l.expect(t, l.run(t, addr, l.config("a", "b")), "b from /0 recovered=false lost=false", "b@0 1", "a from /0 recovered=false lost=false")
}

func TestSubscriberDropsDuplicatesAndMendsGaps(t *testing.T) {
	addr := serve(
		t,
		func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(`{"id":2,"subscribe":{"recoverable":true,"epoch":"E"}}`)
			for _, offset := range []int{1, 1, 2, 4} {
				p.send(fmt.Sprintf(`{"push":{"channel":"a","pub":{"data":%d,"offset":%d}}}`, offset, offset))
			}
			p.wait()
		},
		func(p *peer) {
			p.welcome()
			p.expect(`{"id":2,"subscribe":{"channel":"a","positioned":true,"recoverable":true,"recover":true,"epoch":"E","offset":2}}`)
			p.send(`{"id":2,"subscribe":{"recoverable":true,"epoch":"E","offset":2,"recovered":true,"publications":[{"data":3,"offset":3},{"data":4,"offset":4}]}}`, stop)
			p.wait()
		},
	)
	var l listener
	l.expect(t, l.run(t, addr, l.config("a")), "a from E/0 recovered=false lost=false", "a@1 1", "a@2 2", "cut",
		"a from E/2 recovered=true lost=false", "a@3 3", "a@4 4")
}

func TestSubscriberTriesAChannelAgainWhileOthersGoOn(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.welcome()
		p.expect(subscribeA)
		p.send(`{"id":2,"error":{"code":111,"message":"busy","temporary":true}}`)
		p.expect(`{"id":3,"subscribe":{"channel":"a","positioned":true,"recoverable":true}}`)
		p.send(`{"id":3,"subscribe":{"recoverable":true,"epoch":"E","offset":1}}`,
			`{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`,
			`{"push":{"channel":"a","pub":{"data":"after","offset":2}}}`)
		p.expect(`{"id":4,"subscribe":{"channel":"a","positioned":true,"recoverable":true,"recover":true,"epoch":"E","offset":1}}`)
		p.send(`{"id":4,"subscribe":{"recoverable":true,"epoch":"E","offset":1,"recovered":true}}`, stop)
		p.wait()
	})
	var l listener
	l.expect(t, l.run(t, addr, l.config("a")), "a from E/1 recovered=false lost=false", "a from E/1 recovered=true lost=false")
}

func TestSubscriberEndsWhereComingBackCannotHelp(t *testing.T) {
	refuse := func(reply string) func(p *peer) {
		return func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(reply)
			p.wait()
		}
	}
	closing := func(code int) func(p *peer) {
		return func(p *peer) {
			p.welcome()
			p.close(code, "reason")
		}
	}
	tests := []struct {
		name   string
		script func(p *peer)
		code   int
		text   string
	}{
		{"permission", refuse(`{"id":2,"error":{"code":103,"message":"permission denied"}}`), CodePermissionDenied, "channel a: permission denied"},
		{"expired token", refuse(`{"id":2,"error":{"code":109,"message":"token expired"}}`), CodeTokenExpired, "channel a"},
		{"unsubscribed", refuse(`{"id":2,"subscribe":{}}` + "\n" + `{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`), 2000, "channel a: server unsubscribe"},
		{"disconnect push", refuse(`{"push":{"disconnect":{"code":3503,"reason":"force disconnect"}}}`), 3503, "force disconnect"},
		{"close 3500", closing(3500), 3500, "disconnected: reason"},
		{"close 3999", closing(3999), 3999, "reason"},
		{"close 4500", closing(4500), 4500, "reason"},
		{"connect", func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.send(`{"id":1,"error":{"code":101,"message":"unauthorized"}}`)
			p.wait()
		}, CodeUnauthorized, "unauthorized"},
		{"large frame", refuse(strings.Repeat("x", 2000)), 1009, "MaxFrame"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l listener
			cfg := l.config("a")
			cfg.MaxFrame = 1000
			err := l.run(t, serve(t, tt.script), cfg)
			if CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestSubscriberComesBack(t *testing.T) {
	scripts := []func(p *peer){
		func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.send(`{"id":1,"error":{"code":100,"message":"internal","temporary":true}}`)
			p.wait()
		},
		func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.send(`hello`)
			p.wait()
		},
		func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.send(`{"id":1}`)
			p.wait()
		},
		func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(`{"id":2,"subscribe":[]}`)
			p.wait()
		},
	}
	for _, code := range []int{3000, 3499, 4000, 4499, 1001} {
		scripts = append(scripts, func(p *peer) {
			p.welcome()
			p.close(code, "")
		})
	}
	scripts = append(scripts, func(p *peer) {
		p.welcome()
		p.expect(subscribeA)
		p.send(`{"id":2,"subscribe":{}}`, stop)
		p.wait()
	})
	var l listener
	l.expect(t, l.run(t, serve(t, scripts...), l.config("a")), "100", "cut", "cut", "cut",
		"3000", "3499", "4000", "4499", "1001", "a from /0 recovered=false lost=false")
}

func TestSubscriberRefusedHandshakeIsFinal(t *testing.T) {
	srv := apiServer(t, func(string, map[string]any) (int, string) { return http.StatusForbidden, "" })
	var l listener
	cfg := l.config("a")
	cfg.HTTPClient = &http.Client{Transport: refusing{}}
	var e *Error
	if err := l.run(t, srv.base, cfg); !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Errorf("ended with %v", err)
	}
}

// refusing answers everything with 403.
type refusing struct{}

func (refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func TestSubscriberRefreshesTokens(t *testing.T) {
	connect := func(p *peer, token, reply string) {
		p.expect(`{"id":1,"connect":{"token":"` + token + `","name":"n"}}`)
		p.send(reply)
	}
	const welcome = `{"id":1,"connect":{"client":"c"}}`
	addr := serve(
		t,
		func(p *peer) {
			connect(p, "old", `{"id":1,"error":{"code":109,"message":"token expired"}}`)
			p.wait()
		},
		func(p *peer) {
			connect(p, "1", welcome)
			p.expect(subscribeA)
			p.send(`{"id":2,"error":{"code":109,"message":"token expired"}}`)
			p.expect(`{"id":3,"subscribe":{"channel":"a","token":"a2","positioned":true,"recoverable":true}}`)
			p.close(3005, "connection expired")
		},
		func(p *peer) {
			connect(p, "3", welcome)
			p.expect(`{"id":2,"subscribe":{"channel":"a","token":"a2","positioned":true,"recoverable":true}}`)
			p.send(`{"id":2,"subscribe":{}}`, stop)
			p.wait()
		},
	)
	var l listener
	cfg := l.config("a")
	calls := 0
	cfg.Token, cfg.Name = "old", "n"
	cfg.Refresh = func(_ context.Context, channel string) (string, error) {
		calls++
		return fmt.Sprint(channel, calls), nil
	}
	l.expect(t, l.run(t, addr, cfg), "109", "3005", "a from /0 recovered=false lost=false")
}

func TestSubscriberNoticesSilence(t *testing.T) {
	addr := serve(
		t,
		func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.send(`{"id":1,"connect":{"ping":1,"pong":true}}`)
			p.wait()
		},
		func(p *peer) {
			p.expect(`{"id":1,"connect":{}}`)
			p.wait() // and no answer to connect
		},
		func(p *peer) {
			p.welcome()
			p.expect(subscribeA)
			p.send(`{"id":2,"subscribe":{}}`, stop)
			p.wait()
		},
	)
	var l listener
	cfg := l.config("a")
	cfg.Timeout = 300 * time.Millisecond
	l.expect(t, l.run(t, addr, cfg), "cut", "cut", "a from /0 recovered=false lost=false")
}

func TestSubscriberEndsWithItsContext(t *testing.T) {
	connected := make(chan struct{})
	addr := serve(t, func(p *peer) {
		p.welcome()
		close(connected)
		p.wait()
	})
	s, err := NewSubscriber(addr, SubscriberConfig{Channels: []Channel{{Name: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(testContext(t))
	why := errors.New("enough")
	go func() {
		<-connected
		cancel(why)
	}()
	if err := s.Run(ctx); !errors.Is(err, why) {
		t.Errorf("ended with %v", err)
	}
}

func TestSubscriberNeedsSense(t *testing.T) {
	for _, channels := range [][]Channel{nil, {{}}, {{Name: "a"}, {Name: "a"}}} {
		if _, err := NewSubscriber("x", SubscriberConfig{Channels: channels}); err == nil {
			t.Errorf("%v was taken", channels)
		}
	}
}

func TestManySubscribesTakeSeveralFrames(t *testing.T) {
	const n = 1000
	addr := serve(t, func(p *peer) {
		p.welcome()
		for asked := 0; asked < n; {
			_, data, err := p.ws.Read(p.ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if len(data) > maxCommandBytes {
				t.Errorf("%d bytes in a frame", len(data))
			}
			asked += strings.Count(string(data), "subscribe")
		}
		p.send(`{"id":2,"subscribe":{}}`, stop)
		p.wait()
	})
	names := []string{"a"}
	for i := range n - 1 {
		names = append(names, fmt.Sprintf("channel-with-a-longer-name-%d", i))
	}
	var l listener
	l.expect(t, l.run(t, addr, l.config(names...)), "a from /0 recovered=false lost=false")
}

func TestBackoff(t *testing.T) {
	b := backoff{first: time.Second, last: 10 * time.Second}
	for _, seconds := range []int{1, 2, 4, 8, 10, 10} {
		ceiling := time.Duration(seconds) * time.Second
		if got := b.ceiling(); got != ceiling {
			t.Errorf("ceiling %s, want %s", got, ceiling)
		}
		if d := b.next(); d < 0 || d > ceiling {
			t.Errorf("waits %s", d)
		}
	}
	b.after(10 * time.Second)
	if b.ceiling() != 10*time.Second {
		t.Error("a connection that did not outlive the wait starts over")
	}
	b.after(11 * time.Second)
	if b.ceiling() != time.Second {
		t.Error("a connection that lived does not start over")
	}
	seen := make(map[time.Duration]bool)
	for range 20 {
		c := backoff{first: time.Hour, last: time.Hour}
		seen[c.next()] = true
	}
	if len(seen) == 1 {
		t.Error("waits are not spread")
	}
}

// FuzzMessage: no frame of a server makes a Subscriber panic.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"id":2,"subscribe":{"recoverable":true,"epoch":"E","publications":[{"data":1,"offset":1}]}}`))
	f.Add([]byte(`{"push":{"channel":"a","pub":{"data":1,"offset":9}}}` + "\n\n" + `{"push":{"channel":"a","unsubscribe":{"code":2500}}}`))
	f.Add([]byte(`{"id":2,"error":{"code":111,"temporary":true}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		s, err := NewSubscriber("x", SubscriberConfig{Channels: []Channel{{Name: "a"}}})
		if err != nil {
			panic(err)
		}
		c := &connection{Subscriber: s, asked: map[int]*subscription{2: s.order[0]}}
		_ = c.frame(context.Background(), data)
	})
}
