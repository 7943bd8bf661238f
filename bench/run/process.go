package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuSeconds is what a process has used, user and system, to the nanosecond where
// the kernel keeps count of its threads.
func cpuSeconds(pid int) (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, file := range threads {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		ran, _, _ := strings.Cut(string(line), " ")
		ns, err := strconv.ParseFloat(ran, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += ns / 1e9
	}
	if total == 0 {
		return 0, fmt.Errorf("no CPU time of process %d is known", pid)
	}
	return total, nil
}

// rssBytes is what a process has resident.
func rssBytes(pid int) (float64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// slabBytes is what the kernel's own objects take, whoever they belong to.
func slabBytes() (float64, error) { return kilobytes("/proc/meminfo", "Slab:") }

func kilobytes(file, field string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, field)
}

// held is a running bench/idle.
type held struct {
	cmd  *exec.Cmd
	in   io.Closer
	out  *json.Decoder
	errs bytes.Buffer
}

// holdIdle opens n sessions and returns when all are there.
func (b *bench) holdIdle(ctx context.Context, addr, channel string, n int, secure bool, more ...string) (*held, error) {
	argv := append(b.pin(loaderCore), b.temp("idle"), "-addr", addr, "-channel", channel, "-n", strconv.Itoa(n), "-tls="+strconv.FormatBool(secure))
	argv = append(argv, more...)
	h := &held{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	h.cmd.Stderr = &h.errs
	in, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	h.in = in
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.out = json.NewDecoder(out)
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	var ready map[string]float64
	if err := h.out.Decode(&ready); err != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		return nil, fmt.Errorf("%d idle sessions: %w\n%s", n, err, h.errs.Bytes())
	}
	return h, nil
}

// heard waits until every session has been sent a publication, and gives the moment
// when the last one had it.
func (h *held) heard(publication int64) (time.Time, error) {
	for {
		var one struct{ Publication, At int64 }
		if err := h.out.Decode(&one); err != nil {
			return time.Time{}, err
		}
		if one.Publication == publication {
			return time.Unix(0, one.At), nil
		}
	}
}

// release ends the sessions; an error says that some were lost before.
func (h *held) release() error {
	if err := h.in.Close(); err != nil {
		return err
	}
	end := map[string]float64{}
	var err error
	for last := false; !last && err == nil; _, last = end["lost"] { // publications that nobody asked about come first
		err = h.out.Decode(&end)
	}
	err = errors.Join(err, h.cmd.Wait())
	if err == nil && end["lost"] > 0 {
		err = fmt.Errorf("%v sessions were lost", end["lost"])
	}
	return err
}

// freeAddr is an address that was free a moment ago.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func awaitListening(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

// pause waits, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// buildTools builds the load generators; pushbench only where its source is.
func (b *bench) buildTools(ctx context.Context) error {
	build := func(dir, name, pkg string) error {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", b.temp(name), pkg)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
		return nil
	}
	if err := build("", "idle", "./bench/idle"); err != nil {
		return err
	}
	if !b.withPushbench() {
		return nil
	}
	return errors.Join(build(b.tools, "pushbench", "."), build(b.tools, "limit", "./limit"))
}

func (b *bench) withPushbench() bool {
	_, err := os.Stat(b.tools)
	return err == nil
}
