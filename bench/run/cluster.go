package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// clusterSecret is what the nodes of this program know each other by.
const clusterSecret = "nodes of the benchmark"

// team is a cluster of subjects on this machine, all on all cores.
type team struct {
	nodes []*subject
	nats  *exec.Cmd // nil: the servers are built in
}

// startTeam runs core nodes that form a cluster, or one node that is alone, and
// returns when they are ready.
func (b *bench) startTeam(ctx context.Context, n int) (*team, error) {
	peers := make([]string, n)
	for i := range peers {
		var err error
		if peers[i], err = freeAddr(ctx); err != nil {
			return nil, err
		}
	}
	t := &team{}
	for i := range peers {
		config := serverConfig
		if n > 1 {
			others := slices.Delete(slices.Clone(peers), i, i+1)
			config += fmt.Sprintf("cluster: {name: bench, node: n%d, listen: %q, peers: [%s], secret: %q}\n", i+1, peers[i], strings.Join(others, ", "), clusterSecret)
		}
		if err := t.add(b.startWith(ctx, runtime.NumCPU(), config)); err != nil {
			return nil, err
		}
	}
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// add takes a node that has started, or ends all.
func (t *team) add(s *subject, err error) error {
	if err != nil {
		t.end()
		return err
	}
	t.nodes = append(t.nodes, s)
	return nil
}

// readyTimeout is how long nodes may take to find each other.
const readyTimeout = 2 * time.Minute

func (t *team) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for i, s := range t.nodes {
		for status := 0; status != http.StatusOK; {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				t.end()
				return fmt.Errorf("node %d is not ready: %w\n%s", i+1, err, s.Output())
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+"/ready", http.NoBody)
			if err != nil {
				return err
			}
			res, err := s.client.Do(req)
			if err != nil {
				continue
			}
			status = res.StatusCode
			_ = res.Body.Close()
		}
	}
	return nil
}

func (t *team) end() {
	for _, s := range t.nodes {
		s.end()
	}
	if t.nats != nil {
		_ = t.nats.Process.Kill()
		_ = t.nats.Wait()
	}
}

// cpu is what all nodes have used.
func (t *team) cpu() (sum float64, err error) {
	for _, s := range t.nodes {
		used, err := cpuSeconds(s.PID())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// clusters measures several nodes against one.
func (b *bench) clusters(ctx context.Context) (string, error) {
	if err := b.stay(ctx, b.allCores()); err != nil {
		return "", err
	}
	var page strings.Builder
	page.WriteString("\n## Several nodes\n\nAll nodes and the load share all cores of one machine: three nodes have a third of it each. What it costs shows, not\nwhat three machines would do.\n")
	for _, part := range []func(context.Context) (string, error){b.durablePublishes, b.spreadFanOut, b.foreignSubscriptions} {
		text, err := part(ctx)
		if err != nil {
			return "", err
		}
		page.WriteString(text)
	}
	return page.String(), nil
}

// durablePublishes measures publishes to history on disk, on one node and with three
// copies.
func (b *bench) durablePublishes(ctx context.Context) (string, error) {
	t := &table{head: []string{"nodes", "writers", "publishes/s", "p50", "p99", "CPU of one, all nodes"}}
	for _, n := range []int{1, 3} {
		for _, writers := range []int{1, 64} {
			m, err := b.repeat(ctx, fmt.Sprintf("%d nodes, %d writers", n, writers), func(ctx context.Context) (numbers, error) {
				return b.durableRun(ctx, n, writers)
			})
			if err != nil {
				return "", err
			}
			t.add(strconv.Itoa(n), strconv.Itoa(writers), human(m["rate"]), fmt.Sprintf("%.1f ms", m["p50"]), fmt.Sprintf("%.1f ms", m["p99"]), fmt.Sprintf("%.0f µs", m["cpu"]))
		}
	}
	return "\n### Durable publishes\n\n`POST /api/publish`, 128 bytes, history on disk, 100 channels, writers on all nodes in turn. On one node a publication is answered\n" +
		"once it is fsynced there; on three, once a majority has fsynced it and the node that was asked has applied it.\n\n" + t.String(), nil
}

func (b *bench) durableRun(ctx context.Context, nodes, writers int) (numbers, error) {
	team, err := b.startTeam(ctx, nodes)
	if err != nil {
		return nil, err
	}
	defer team.end()
	if _, err := team.publishFor(ctx, writers, b.dur/4); err != nil {
		return nil, err
	}
	before, err := team.cpu()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	took, err := team.publishFor(ctx, writers, b.dur)
	if err != nil {
		return nil, err
	}
	passed := time.Since(start)
	after, err := team.cpu()
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	n := float64(len(took))
	at := func(q float64) float64 { return took[int(q*(n-1))].Seconds() * 1e3 }
	return numbers{"rate": n / passed.Seconds(), "p50": at(0.5), "p99": at(0.99), "cpu": (after - before) / n * 1e6}, nil
}

// publishFor publishes to history on disk, writers on all nodes in turn, and gives how
// long each publish took.
func (t *team) publishFor(ctx context.Context, writers int, d time.Duration) ([]time.Duration, error) {
	end, data := time.Now().Add(d), strings.Repeat("x", 126)
	all, errs := make([][]time.Duration, writers), make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			api := t.nodes[w%len(t.nodes)].api
			for i := w; time.Now().Before(end) && errs[w] == nil; i++ {
				start := time.Now()
				errs[w] = publish(ctx, api, fmt.Sprintf("disk:bench%d", i%100), data)
				all[w] = append(all[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	return slices.Concat(all...), errors.Join(errs...)
}

func publish(ctx context.Context, api *server.API, channel, data string) error {
	return api.Do(ctx, "publish", map[string]string{"channel": channel, "data": data}, nil)
}

// crowds are sessions of several processes that are sent the same.
type crowds []*held

// heard waits until all have been sent a publication, and gives the moment when the
// last one had it.
func (c crowds) heard(publication int64) (last time.Time, err error) {
	for _, g := range c {
		at, err := g.heard(publication)
		if err != nil {
			return last, err
		}
		if at.After(last) {
			last = at
		}
	}
	return last, nil
}

func (c crowds) end() {
	for _, g := range c {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait()
	}
}

// spreadSubscribers are those of one fan-out.
const spreadSubscribers = 1200

// spreadFanOut measures publications without history to subscribers on one, two and
// three nodes of three.
func (b *bench) spreadFanOut(ctx context.Context) (string, error) {
	t := &table{head: []string{"nodes with subscribers", "deliveries/s", "CPU of one delivery, all nodes", "until the last has it, p50"}}
	team, err := b.startTeam(ctx, 3)
	if err != nil {
		return "", err
	}
	defer team.end()
	for on := 1; on <= 3; on++ {
		m, err := b.repeat(ctx, fmt.Sprintf("on %d nodes", on), func(ctx context.Context) (numbers, error) { return b.spreadRun(ctx, team, on) })
		if err != nil {
			return "", err
		}
		t.add(strconv.Itoa(on), human(m["rate"]), fmt.Sprintf("%.1f µs", m["cpu"]), fmt.Sprintf("%.1f ms", m["last"]))
	}
	return fmt.Sprintf("\n### Fan-out over nodes\n\n128 bytes without history to %s subscribers of one channel, published on the first node, one publication after the other.\n\n", human(spreadSubscribers)) + t.String(), nil
}

func (b *bench) spreadRun(ctx context.Context, team *team, on int) (numbers, error) {
	channel := fmt.Sprintf("spread%d", on)
	var groups crowds
	defer func() { groups.end() }()
	for i := range on {
		g, err := b.holdIdle(ctx, team.nodes[i].Addr(), channel, spreadSubscribers/on, false)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	before, err := team.cpu()
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	start, data := time.Now(), strings.Repeat("x", 126)
	for i := int64(1); time.Since(start) < b.dur; i++ {
		sent := time.Now()
		if err := publish(ctx, team.nodes[0].api, channel, data); err != nil {
			return nil, err
		}
		last, err := groups.heard(i)
		if err != nil {
			return nil, err
		}
		took = append(took, last.Sub(sent))
	}
	passed := time.Since(start).Seconds()
	after, err := team.cpu()
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	n := float64(len(took) * spreadSubscribers)
	return numbers{"rate": n / passed, "cpu": (after - before) / n * 1e6, "last": took[len(took)/2].Seconds() * 1e3}, nil
}

// foreign are subscriptions to as many channels on another node.
const foreign = 15_000

// foreignSubscriptions measures what subscriptions cost the nodes that do not have
// them.
func (b *bench) foreignSubscriptions(ctx context.Context) (string, error) {
	m, err := b.repeat(ctx, "subscriptions of another node", b.foreignRun)
	if err != nil {
		return "", err
	}
	t := &table{head: []string{"of one subscription to a channel of its own", "on its node", "on another"}}
	t.add("bytes resident", human(m["own_bytes"]), human(m["other_bytes"]))
	t.add("CPU", fmt.Sprintf("%.0f µs", m["own_cpu"]), fmt.Sprintf("%.2f µs", m["other_cpu"]))
	return fmt.Sprintf("\n### Subscriptions of other nodes\n\n%s sessions connect to one node of three and subscribe to a channel each, without presence; the sessions themselves are part\nof what it costs that node.\n\n", human(foreign)) + t.String(), nil
}

func (b *bench) foreignRun(ctx context.Context) (numbers, error) {
	team, err := b.startTeam(ctx, 3)
	if err != nil {
		return nil, err
	}
	defer team.end()
	if err := pause(ctx, returned); err != nil {
		return nil, err
	}
	look := func() (rss, cpu [3]float64, err error) {
		for i, s := range team.nodes {
			if rss[i], err = rssBytes(s.PID()); err != nil {
				return rss, cpu, err
			}
			if cpu[i], err = cpuSeconds(s.PID()); err != nil {
				return rss, cpu, err
			}
		}
		return rss, cpu, nil
	}
	start := time.Now()
	_, cpuIdle, err := look()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, returned); err != nil { // what a node costs that does nothing
		return nil, err
	}
	rssBefore, cpuBefore, err := look()
	if err != nil {
		return nil, err
	}
	rest := time.Since(start).Seconds()
	began := time.Now()
	g, err := b.holdIdle(ctx, team.nodes[0].Addr(), "own", foreign, false, "-each")
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.cmd.Process.Kill(); _ = g.cmd.Wait() }()
	if err := pause(ctx, returned); err != nil {
		return nil, err
	}
	rss, cpu, err := look()
	if err != nil {
		return nil, err
	}
	took := time.Since(began).Seconds()
	each := func(i int) (bytes, micros float64) {
		idle := (cpuBefore[i] - cpuIdle[i]) / rest * took
		return (rss[i] - rssBefore[i]) / foreign, max(cpu[i]-cpuBefore[i]-idle, 0) / foreign * 1e6
	}
	m := numbers{}
	m["own_bytes"], m["own_cpu"] = each(0)
	m["other_bytes"], m["other_cpu"] = each(1)
	return m, nil
}

// Crowds of the section many: as many sessions as a process can have descriptors
// for, on as many nodes as are asked for.
const (
	teamCrowd   = 18_000
	largestTeam = 10
)

// many measures one publication to crowds on ever more nodes, all on one NATS.
func (b *bench) many(ctx context.Context) (string, error) {
	if err := b.stay(ctx, b.allCores()); err != nil {
		return "", err
	}
	t := &table{head: []string{"nodes", "sessions", "until the last has it", "deliveries/s", "RSS of a node", "RSS of a node before"}}
	for _, n := range []int{1, 2, 5, largestTeam} {
		m, err := b.manyRun(ctx, n)
		if err != nil {
			return "", err
		}
		t.add(strconv.Itoa(n), human(float64(n*teamCrowd)), fmt.Sprintf("%.0f ms", m["last"]), human(m["rate"]), fmt.Sprintf("%.0f MB", m["rss"]/1e6), fmt.Sprintf("%.0f MB", m["empty"]/1e6))
	}
	return "\n## Many sessions\n\nOne publication of 128 bytes without history to everybody, nodes, their clients and a `nats-server` on one machine; medians of " + strconv.Itoa(manyPublications) + "\npublications, published on the first node.\n\n" + t.String(), nil
}

// manyPublications are those of one teamCrowd.
const manyPublications = 9

func (b *bench) manyRun(ctx context.Context, nodes int) (numbers, error) {
	team, err := b.startOnNATS(ctx, nodes)
	if err != nil {
		return nil, err
	}
	defer team.end()
	if err := pause(ctx, returned); err != nil {
		return nil, err
	}
	empty, err := rssBytes(team.nodes[nodes-1].PID())
	if err != nil {
		return nil, err
	}
	var groups crowds
	defer func() { groups.end() }()
	for i := range nodes {
		g, err := b.holdIdle(ctx, team.nodes[i].Addr(), "everybody", teamCrowd, false, "-ramp", "64")
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
		groups = append(groups, g)
		fmt.Printf("  %d of %d nodes have their sessions\n", i+1, nodes)
	}
	if err := pause(ctx, returned); err != nil {
		return nil, err
	}
	rss, err := rssBytes(team.nodes[nodes-1].PID())
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := int64(1); i <= manyPublications; i++ {
		sent := time.Now()
		if err := publish(ctx, team.nodes[0].api, "everybody", strings.Repeat("x", 126)); err != nil {
			return nil, err
		}
		last, err := groups.heard(i)
		if err != nil {
			return nil, err
		}
		took = append(took, last.Sub(sent))
	}
	slices.Sort(took)
	median := took[len(took)/2].Seconds()
	return numbers{"last": median * 1e3, "rate": float64(nodes*teamCrowd) / median, "rss": rss, "empty": empty}, nil
}

// startOnNATS runs nodes on a nats-server of its own, built from the module that is
// also built in.
func (b *bench) startOnNATS(ctx context.Context, n int) (*team, error) {
	bin := b.temp("nats-server")
	if _, err := os.Stat(bin); err != nil {
		if _, err := output(ctx, "go", "build", "-o", bin, "github.com/nats-io/nats-server/v2"); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	host, port, _ := strings.Cut(addr, ":")
	dir, err := os.MkdirTemp(b.dir, "nats-")
	if err != nil {
		return nil, err
	}
	t := &team{nats: exec.CommandContext(ctx, bin, "-a", host, "-p", port, "-js", "-sd", filepath.Join(dir, "js"))}
	if err := t.nats.Start(); err != nil {
		return nil, err
	}
	if err := awaitListening(ctx, addr); err != nil {
		t.end()
		return nil, err
	}
	for i := range n {
		config := serverConfig + fmt.Sprintf("cluster: {name: bench, node: n%d, nats: [\"nats://%s\"], replicas: 1}\n", i+1, addr)
		if err := t.add(b.startWith(ctx, runtime.NumCPU(), config)); err != nil {
			return nil, err
		}
	}
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	return t, nil
}
