package server

import (
	"bytes"
	"regexp"
	"sync"
)

// maxOutput bounds what is kept of a process's output; the middle goes.
const maxOutput = 256 << 10

// listening finds the address in the log line, in text or in JSON.
var listening = regexp.MustCompile(`(?:msg=listening|"msg":"listening").*?\baddr"?[=:]"?([0-9.]+:[0-9]+)`)

// output keeps what a process prints and finds its address there.
type output struct {
	address chan string // one value, once

	mu    sync.Mutex
	buf   []byte
	found bool
}

func newOutput() *output { return &output{address: make(chan string, 1)} }

// Write implements io.Writer for both streams of the process.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p...)
	if !o.found {
		o.findLocked()
	}
	if len(o.buf) > maxOutput {
		o.buf = append(o.buf[:maxOutput/2:maxOutput/2], o.buf[len(o.buf)-maxOutput/4:]...)
	}
	return len(p), nil
}

// findLocked looks at whole lines only.
func (o *output) findLocked() {
	end := bytes.LastIndexByte(o.buf, '\n') + 1
	if m := listening.FindSubmatch(o.buf[:end]); m != nil {
		o.found = true
		o.address <- string(m[1])
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}
