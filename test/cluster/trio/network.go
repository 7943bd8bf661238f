package trio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"github.com/fanfare-push/fanfare/test/cluster/link"
)

// network is what is between the nodes.
type network interface {
	// node says how node i is run, where it listens for clients and for the others,
	// and under what addresses it reaches them. advertise: what it tells them of
	// itself; "": where it listens.
	node(i int) place
	// set changes what happens to bytes from one node to another, whoever dialed.
	set(from, to int, s link.State) error
	// reset ends all connections between two nodes.
	reset(a, b int) error
	close() error
}

// place is a node's place in the network.
type place struct {
	wrap      []string // a command that runs it
	clients   string   // host:port, port 0: any
	listen    string
	advertise string
	peers     []string
}

// proxies is a network on loopback, whose wires are proxies.
type proxies struct {
	listen [Size]string
	nobody net.Listener
	links  [Size][Size]*link.Link // what the first dials to reach the second
}

func newProxies(ctx context.Context) (*proxies, error) {
	p := &proxies{}
	err := p.open(ctx)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *proxies) open(ctx context.Context) (err error) {
	// Nodes tell each other where they listen; what they would dial besides the
	// links is an address where nobody answers.
	if p.nobody, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go refuse(p.nobody)
	for i := range Size {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		p.listen[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	for i := range Size {
		for j := range Size {
			if i == j {
				continue
			}
			if p.links[i][j], err = link.Listen(ctx, p.listen[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

func refuse(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// Ports that a node listens on again after each start must be none that the
// system gives to connections meanwhile: those begin at 32768 or above.
const (
	firstPort = 20000
	ports     = 10000
	attempts  = 100
)

func freePort(ctx context.Context) (int, error) {
	var last error
	for range attempts {
		port := firstPort + rand.IntN(ports)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

func (p *proxies) node(i int) place {
	at := place{clients: "127.0.0.1:0", listen: p.listen[i], advertise: p.nobody.Addr().String()}
	for j := range Size {
		if j != i {
			at.peers = append(at.peers, p.links[i][j].Addr())
		}
	}
	return at
}

func (p *proxies) set(from, to int, s link.State) error {
	p.links[from][to].Set(link.There, s)
	p.links[to][from].Set(link.Back, s)
	return nil
}

func (p *proxies) reset(a, b int) error {
	p.links[a][b].Reset()
	p.links[b][a].Reset()
	return nil
}

func (p *proxies) close() error {
	var errs []error
	for i := range Size {
		for _, l := range p.links[i] {
			if l != nil {
				errs = append(errs, l.Close())
			}
		}
	}
	if p.nobody != nil {
		errs = append(errs, p.nobody.Close())
	}
	return errors.Join(errs...)
}
