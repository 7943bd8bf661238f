package mixed

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" // the protocol's own digest of a body
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/wire"
)

// publisher publishes one after the other by one protocol.
type publisher struct {
	*run
	name string
	acks []check.Ack
	// publish makes publication n and returns when it is acknowledged.
	publish func(ctx context.Context, p *publisher, n int) error
	close   func()
}

func (p *publisher) publishAll(ctx context.Context, count int) error {
	defer p.close()
	for n := 1; n <= count; n++ {
		if err := p.publish(ctx, p, n); err != nil {
			return fmt.Errorf("%s, publication %d: %w", p.name, n, err)
		}
	}
	return nil
}

func (p *publisher) id(n int) string { return fmt.Sprintf("%s-%d", p.name, n) }

// acked notes that a publication is stored; offset 0: it was not said where.
func (p *publisher) acked(id string, c content, epoch string, offset uint64) {
	p.acks = append(p.acks, check.Ack{
		Entry:   check.Entry{Offset: offset, ID: id, Sum: c.sum()},
		Channel: channel, Epoch: epoch, Somewhere: offset == 0,
	})
}

// newAPIPublisher publishes by the server API.
func newAPIPublisher(_ context.Context, r *run, name string) (*publisher, error) {
	return &publisher{run: r, name: name, publish: byAPI, close: func() {}}, nil
}

func byAPI(ctx context.Context, p *publisher, n int) error {
	id := p.id(n)
	shapes := apiShapes(id)
	s := shapes[n%len(shapes)]
	p.made.note(id, s.means)
	rest := maps.Clone(s.sent)
	rest["channel"], rest["idempotency_key"] = channel, id
	raw, asItIs := rest["data"].(json.RawMessage)
	if asItIs {
		delete(rest, "data")
	}
	body, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	if asItIs { // json.Marshal would tidy it up
		body = fmt.Appendf(nil, `{"data":%s,%s`, raw, body[1:])
	}
	reply, err := p.api.Post(ctx, "publish", body)
	if err != nil {
		return err
	}
	if reply.Error != nil {
		return reply.Error
	}
	var at struct {
		Offset uint64 `json:"offset"`
		Epoch  string `json:"epoch"`
	}
	if err := json.Unmarshal(reply.Result, &at); err != nil {
		return err
	}
	if at.Offset == 0 {
		return fmt.Errorf("the reply %s has no offset", reply.Result)
	}
	p.acked(id, s.means, at.Epoch, at.Offset)
	return nil
}

// newClientPublisher publishes as a Centrifuge client.
func newClientPublisher(ctx context.Context, r *run, name string) (*publisher, error) {
	c, err := wire.Dial(ctx, r.server.WebSocketURL(), nil)
	if err != nil {
		return nil, err
	}
	p := &publisher{run: r, name: name, close: c.Drop}
	var m wire.Message
	if err = c.Send(ctx, `{"id":1,"connect":{}}`); err == nil {
		m, err = c.Reply(ctx, 1)
	}
	if err == nil && m.Connect == nil {
		err = fmt.Errorf("connect: %s", m.Raw)
	}
	if err != nil {
		c.Drop()
		return nil, err
	}
	client := m.Connect.Client
	p.publish = func(ctx context.Context, p *publisher, n int) error {
		id := p.id(n)
		s := clientShapes(id, client)[0]
		p.made.note(id, s.means)
		if err := c.Send(ctx, fmt.Sprintf(`{"id":%d,"publish":{"channel":%q,"data":%s}}`, n+1, channel, s.sent["data"])); err != nil {
			return err
		}
		m, err := c.Reply(ctx, uint32(n+1))
		if err == nil && m.Publish == nil {
			err = fmt.Errorf("%s", m.Raw)
		}
		if err == nil {
			p.acked(id, s.means, "", 0)
		}
		return err
	}
	return p, nil
}

// newPusherPublisher triggers events by Pusher's HTTP API.
func newPusherPublisher(_ context.Context, r *run, name string) (*publisher, error) {
	return &publisher{run: r, name: name, publish: byPusher, close: func() {}}, nil
}

func byPusher(ctx context.Context, p *publisher, n int) error {
	id := p.id(n)
	shapes := pusherShapes(id)
	s := shapes[n%len(shapes)]
	p.made.note(id, s.means)
	event := maps.Clone(s.sent)
	event["channels"] = []string{channel}
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.server.Addr()+signed(body), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.api.Client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d %s", res.StatusCode, said)
	}
	if err == nil {
		p.acked(id, s.means, "", 0)
	}
	return err
}

// signed is the path and query of an event, as the HTTP API reference of Pusher
// says under "Authentication".
func signed(body []byte) string {
	const path = "/apps/" + appID + "/events"
	sum := md5.Sum(body)
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%s", appKey, time.Now().Unix(), hex.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte("POST\n" + path + "\n" + query))
	return path + "?" + query + "&auth_signature=" + hex.EncodeToString(mac.Sum(nil))
}
