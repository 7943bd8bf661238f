package trio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"

	"github.com/fanfare-push/fanfare/test/cluster/link"
)

// namespaces is a network of network namespaces, one for each node, on a bridge of
// this machine: what is cut there loses packets, as a network does. It needs
// Linux, root, and the command ip.
type namespaces struct {
	id     string // in the names of everything
	subnet string // of nodes, 10.x.y
	opened []string
}

// ErrNamespaces says that the machine does not allow network namespaces.
var ErrNamespaces = errors.New("no network namespaces")

const peerPort = "8020"

func newNamespaces(ctx context.Context) (*namespaces, error) {
	n := &namespaces{
		id: fmt.Sprintf("ff%06x", rand.IntN(1<<24)), subnet: fmt.Sprintf("10.%d.%d", 64+rand.IntN(128), rand.IntN(256)),
	}
	commands := []string{
		"link add " + n.id + " type bridge",
		"addr add " + n.subnet + ".254/24 dev " + n.id,
		"link set " + n.id + " up",
	}
	for i := range Size {
		name := n.name(i)
		commands = append(commands,
			"netns add "+name,
			"link add "+name+" type veth peer name eth0 netns "+name,
			"link set "+name+" master "+n.id+" up",
			"-n "+name+" addr add "+n.addr(i)+"/24 dev eth0",
			"-n "+name+" link set eth0 up",
			"-n "+name+" link set lo up",
		)
	}
	for _, c := range commands {
		if err := ip(ctx, c); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %w", ErrNamespaces, err), n.close())
		}
		n.opened = append(n.opened, c)
	}
	return n, nil
}

func (n *namespaces) name(i int) string { return n.id + Name(i) }

func (n *namespaces) addr(i int) string { return fmt.Sprintf("%s.%d", n.subnet, i+1) }

func ip(ctx context.Context, args string) error {
	out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

func (n *namespaces) node(i int) place {
	at := place{wrap: []string{"ip", "netns", "exec", n.name(i)}, clients: n.addr(i) + ":0", listen: n.addr(i) + ":" + peerPort}
	for j := range Size {
		if j != i {
			at.peers = append(at.peers, n.addr(j)+":"+peerPort)
		}
	}
	return at
}

// nowhere is the hardware address of nobody: a frame to it is lost.
const nowhere = "02:00:00:00:00:99"

// set cuts by sending what is for the other to nobody. It knows no delay.
func (n *namespaces) set(from, to int, s link.State) error {
	if s.Delay > 0 {
		return fmt.Errorf("%w with delays", ErrNamespaces)
	}
	neighbour := n.addr(to) + " dev eth0"
	if s.Cut {
		return ip(context.Background(), "-n "+n.name(from)+" neigh replace "+n.addr(to)+" lladdr "+nowhere+" dev eth0 nud permanent")
	}
	// Replaced first, so that there is something to forget.
	return errors.Join(
		ip(context.Background(), "-n "+n.name(from)+" neigh replace "+n.addr(to)+" lladdr "+nowhere+" dev eth0 nud stale"),
		ip(context.Background(), "-n "+n.name(from)+" neigh del "+neighbour),
	)
}

// reset has nothing to do: packets are lost, no connection ends by it.
func (n *namespaces) reset(int, int) error { return nil }

func (n *namespaces) close() error {
	var errs []error
	for _, c := range n.opened {
		switch f := strings.Fields(c); {
		case f[0] == "netns":
			errs = append(errs, ip(context.Background(), "netns del "+f[2]))
		case f[1] == "add" && f[len(f)-1] == "bridge":
			errs = append(errs, ip(context.Background(), "link del "+f[2]))
		}
	}
	return errors.Join(errs...)
}
