package audit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// ErrUnwritten reports that an action must not be done because it could not be
// written down.
var ErrUnwritten = errors.New("the audit log cannot be written")

// Config is what a Log is made of.
type Config struct {
	Path string
	// Required makes Begin write each action down, and sync it, before it is done,
	// and fail where that fails.
	Required bool
	Logger   *slog.Logger
	// Written and Lost are told of every line that was, or could not be, written;
	// Suppressed of every refusal beyond MaxRefused. nil: nobody is. They must
	// not block.
	Written, Lost, Suppressed func()
	Now                       func() time.Time // nil: time.Now
}

// Refused keys and passwords are written down up to MaxRefused in each
// RefusedWindow: who tries them must not be able to fill the disk.
const (
	MaxRefused    = 10
	RefusedWindow = time.Minute
)

// fileMode is that of a file that is not there yet.
const fileMode = 0o600

// Log appends to a file. Its methods may be called by any goroutine; they wait for
// the disk. A nil Log writes nothing down and refuses nothing.
type Log struct {
	cfg Config

	mu         sync.Mutex // guards what follows
	file       file
	torn       bool // the file ends within a line
	window     time.Time
	refused    int
	suppressed uint64
}

// file is what a Log needs of *os.File.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Close() error
}

// Open opens the file, or makes it for its owner alone, and writes down that it
// did. It fails where the path is no regular file or cannot be appended to.
func Open(cfg Config) (*Log, error) {
	for _, f := range []*func(){&cfg.Written, &cfg.Lost, &cfg.Suppressed} {
		if *f == nil {
			*f = func() {}
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Log{cfg: cfg}
	if err := l.Reopen(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reopen goes on in the file that has the path now; the one of before has been
// moved away. Where that cannot be opened it stays with the one of before.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	f, torn, err := open(l.cfg.Path)
	if err != nil {
		return fmt.Errorf("audit.file: %w", err)
	}
	l.mu.Lock()
	before := l.file
	l.file, l.torn = f, torn
	err = l.writeLocked((&Entry{Action: Opened}).line(rand.Text(), l.cfg.Now(), OK, ""), true)
	l.mu.Unlock()
	if before != nil {
		err = errors.Join(err, before.Close())
	}
	if err != nil {
		return fmt.Errorf("audit.file: %w", err)
	}
	return nil
}

func open(path string) (f *os.File, torn bool, err error) {
	// A pipe would block, and what is written to a device is not kept.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is no regular file", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, false, err
	}
	return f, endsWithinLine(path), nil
}

// endsWithinLine reports that a process died, or a disk was full, in the middle of
// a line. A file that cannot be read is taken for whole.
func endsWithinLine(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// Begin is told of an action that is about to be done. done is told how it ended,
// once; problem says why it was refused or failed. err is ErrUnwritten, only with
// Config.Required: then the action must not be done, and done is nil.
func (l *Log) Begin(e Entry) (done func(o Outcome, problem string), err error) {
	if l == nil {
		return func(Outcome, string) {}, nil
	}
	id := rand.Text()
	if l.cfg.Required && l.write(e.line(id, l.cfg.Now(), Begun, "")) != nil {
		return nil, ErrUnwritten
	}
	return func(o Outcome, problem string) {
		_ = l.write(e.line(id, l.cfg.Now(), o, problem)) // write has told
	}, nil
}

// Refuse implements Auditor; what happens too often is not written down.
func (l *Log) Refuse(e Entry, problem string) {
	if l == nil {
		return
	}
	now := l.cfg.Now()
	if e.Action == "" {
		e.Action = KeyRefused
	}
	out := e.line(rand.Text(), now, Refused, problem)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.window).Abs() >= RefusedWindow {
		l.window, l.refused = now, 0
	}
	if l.refused++; l.refused > MaxRefused {
		l.suppressed++
		l.cfg.Suppressed()
		return
	}
	out.Suppressed, l.suppressed = l.suppressed, 0
	_ = l.writeLocked(out, false) // writeLocked has told
}

func (l *Log) write(out *line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writeLocked(out, l.cfg.Required)
}

// writeLocked appends a line in one write, so that those of several processes do
// not mix, and tells the log and the metrics when it cannot.
func (l *Log) writeLocked(out *line, sync bool) error {
	text, err := out.encode()
	if err == nil && l.file == nil {
		err = fs.ErrClosed
	}
	if err == nil {
		if l.torn {
			text = append([]byte{'\n'}, text...)
		}
		var n int
		n, err = l.file.Write(text)
		l.torn = l.torn && n == 0 || n > 0 && text[n-1] != '\n'
	}
	if err == nil && sync {
		err = l.file.Sync()
	}
	if err != nil {
		l.cfg.Lost()
		l.cfg.Logger.Error("an administrative action is not in the audit log", "file", l.cfg.Path, "action", out.Action,
			"id", out.ID, "key", out.Key, "remote", out.Remote, "outcome", string(out.Outcome), "error", err)
		return err
	}
	l.cfg.Written()
	return nil
}

// Close closes the file; what comes later cannot be written.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file = nil
	return err
}
