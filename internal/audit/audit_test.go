package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a Log with all that it tells.
type bench struct {
	*Log
	path                      string
	log                       bytes.Buffer
	written, lost, suppressed int
	now                       time.Time
}

func newBench(t *testing.T, required bool) *bench {
	t.Helper()
	b := &bench{path: filepath.Join(t.TempDir(), "audit.jsonl"), now: time.Date(2026, 5, 6, 7, 8, 9, 120e6, time.UTC)}
	b.reopen(t, required)
	return b
}

// reopen is what a new process does.
func (b *bench) reopen(t *testing.T, required bool) {
	t.Helper()
	l, err := Open(Config{
		Path: b.path, Required: required, Logger: slog.New(slog.NewTextHandler(&b.log, nil)), Now: func() time.Time { return b.now },
		Written: func() { b.written++ }, Lost: func() { b.lost++ }, Suppressed: func() { b.suppressed++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Log = l
	t.Cleanup(func() { _ = l.Close() })
}

// lines are those of a file without the ones that say that it was opened.
func lines(t *testing.T, path string) (all []line) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(text) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if l.Action != Opened {
			all = append(all, l)
		}
	}
	return all
}

func (b *bench) do(t *testing.T, e Entry, o Outcome, problem string) {
	t.Helper()
	done, err := b.Begin(e)
	if err != nil {
		t.Fatal(err)
	}
	done(o, problem)
}

func TestLine(t *testing.T) {
	b := newBench(t, false)
	b.do(t, Entry{
		Action: "disconnect", App: "default", Target: Target{User: "42"}, KeyID: KeyID("the key"), Remote: "192.0.2.1:99", Detail: "code 3503",
	}, Refused, "bad request")
	got := lines(t, b.path)
	if len(got) != 1 || len(got[0].ID) != 26 {
		t.Fatalf("%+v", got)
	}
	got[0].ID = ""
	target := got[0].Target
	got[0].Target = nil
	want := line{
		Time: "2026-05-06T07:08:09.120Z", Action: "disconnect", App: "default", Remote: "192.0.2.1:99",
		Detail: "code 3503", Outcome: Refused, Error: "bad request",
	}
	want.Key = KeyID("the key")
	if got[0] != want || target == nil || *target != (Target{User: "42"}) {
		t.Errorf("%+v %+v", got[0], target)
	}
	if b.written != 2 || b.lost != 0 || b.log.Len() != 0 {
		t.Error(b.written, b.lost, b.log.String())
	}
}

func TestKeyID(t *testing.T) {
	// echo -n abc | sha256sum
	if KeyID("abc") != "ba7816bf" || KeyID("") != "" {
		t.Error(KeyID("abc"), KeyID(""))
	}
}

// Nothing that somebody can put into a name or a reason makes a second line, or
// reaches a terminal as more than a character.
func TestInjection(t *testing.T) {
	evil := []string{
		"a\nb", "a\r\n{\"action\":\"forged\"}", "\x1b[2J\x1b]0;title\a", "\x00\x7f", "\u009b31m", "\u202egnp.exe", "\u2028\u2029", "\ufeff",
		"\xff\xfe", `"},{"x":"`, "a\u200bb", "\U000e0001", "<script>", strings.Repeat("é\n", 4000),
	}
	b := newBench(t, false)
	for _, text := range evil {
		b.do(t, Entry{
			Action: text, App: text, Target: Target{Channel: text, User: text, Client: text, Method: text}, Remote: text, Detail: text, KeyID: text,
		}, OK, text)
		b.Refuse(Entry{Target: Target{Method: text}, Remote: text}, text)
		b.now = b.now.Add(RefusedWindow)
	}
	raw, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(raw) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U is in the file", r)
		}
	}
	got := lines(t, b.path)
	if len(got) != 2*len(evil) {
		t.Fatalf("%d lines, want %d", len(got), 2*len(evil))
	}
	for i, text := range evil {
		want := strings.ToValidUTF8(cut(text), "\ufffd")
		if l := got[2*i]; strings.ReplaceAll(l.Detail, "\ufffd\ufffd", "\ufffd") != want || l.Target.User != l.Detail {
			t.Errorf("%q became %q", want, l.Detail)
		}
	}
	for text := range bytes.Lines(raw) {
		if len(text) > 8*6*(MaxText+8) {
			t.Errorf("a line has %d bytes", len(text))
		}
	}
}

func TestFileIsItsOwners(t *testing.T) {
	b := newBench(t, false)
	info, err := os.Stat(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %o", mode)
	}
}

func TestAppendsAndRotates(t *testing.T) {
	b := newBench(t, false)
	b.do(t, Entry{Action: "one"}, OK, "")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.reopen(t, false)
	b.do(t, Entry{Action: "two"}, OK, "")
	moved := b.path + ".1"
	if err := os.Rename(b.path, moved); err != nil {
		t.Fatal(err)
	}
	b.do(t, Entry{Action: "three"}, OK, "")
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	b.do(t, Entry{Action: "four"}, OK, "")
	var actions []string
	for _, l := range append(lines(t, moved), lines(t, b.path)...) {
		actions = append(actions, l.Action)
	}
	if got := strings.Join(actions, " "); got != "one two three four" {
		t.Error(got)
	}
}

func TestReopenThatFailsGoesOn(t *testing.T) {
	b := newBench(t, false)
	moved := b.path + ".1"
	if err := os.Rename(b.path, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Fatal(err)
	}
	b.do(t, Entry{Action: "still"}, OK, "")
	if got := lines(t, moved); len(got) != 1 || got[0].Action != "still" {
		t.Errorf("%+v", got)
	}
}

func TestTornLineIsEnded(t *testing.T) {
	b := newBench(t, false)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path, []byte(`{"time":"20`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.reopen(t, false)
	raw, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	torn, rest, _ := bytes.Cut(raw, []byte("\n"))
	if string(torn) != `{"time":"20` || !json.Valid(rest) {
		t.Errorf("%q", raw)
	}
}

// brokenFile takes a part of what it is given and fails.
type brokenFile struct {
	took bytes.Buffer
	full bool
}

var errFull = errors.New("no space left on device")

func (f *brokenFile) Write(p []byte) (int, error) {
	if !f.full {
		return f.took.Write(p)
	}
	n, _ := f.took.Write(p[:len(p)/2])
	return n, errFull
}
func (*brokenFile) Sync() error  { return nil }
func (*brokenFile) Close() error { return nil }

func TestFailureIsLoudAndDoesNotStop(t *testing.T) {
	b := newBench(t, false)
	f := &brokenFile{full: true}
	_ = b.file.Close()
	b.file = f
	b.do(t, Entry{Action: "disconnect"}, OK, "")
	if b.lost != 1 || !strings.Contains(b.log.String(), "not in the audit log") || !strings.Contains(b.log.String(), "no space left") {
		t.Errorf("%d lost, log %q", b.lost, b.log.String())
	}
	f.full = false
	b.do(t, Entry{Action: "after"}, OK, "")
	_, rest, _ := strings.Cut(f.took.String(), "\n")
	if !json.Valid([]byte(rest)) || !strings.Contains(rest, "after") {
		t.Errorf("what follows a torn line: %q", rest)
	}
}

func TestRequiredIsWrittenFirst(t *testing.T) {
	b := newBench(t, true)
	b.do(t, Entry{Action: "disconnect"}, OK, "")
	got := lines(t, b.path)
	if len(got) != 2 || got[0].Outcome != Begun || got[1].Outcome != OK || got[0].ID != got[1].ID {
		t.Fatalf("%+v", got)
	}
	_ = b.file.Close()
	b.file = &brokenFile{full: true}
	if done, err := b.Begin(Entry{Action: "disconnect"}); !errors.Is(err, ErrUnwritten) || done != nil {
		t.Error(err)
	}
	if b.lost != 1 {
		t.Error(b.lost)
	}
}

func TestRefusedKeysAreLimited(t *testing.T) {
	b := newBench(t, false)
	for range MaxRefused + 5 {
		b.Refuse(Entry{KeyID: KeyID("guess")}, "wrong API key")
	}
	if got := lines(t, b.path); len(got) != MaxRefused || b.suppressed != 5 {
		t.Errorf("%d lines, %d suppressed", len(got), b.suppressed)
	}
	b.now = b.now.Add(RefusedWindow)
	b.Refuse(Entry{}, "wrong API key")
	b.Refuse(Entry{Action: PasswordRefused}, "wrong password")
	got := lines(t, b.path)
	if last := got[len(got)-1]; last.Action != PasswordRefused {
		t.Errorf("%+v", last)
	}
	got = got[:len(got)-1]
	if last := got[len(got)-1]; len(got) != MaxRefused+1 || last.Suppressed != 5 || last.Action != KeyRefused || last.Outcome != Refused {
		t.Errorf("%+v", got[len(got)-1])
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "missing", "audit.jsonl"), "", os.DevNull} {
		if l, err := Open(Config{Path: path, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			_ = l.Close()
			t.Errorf("%q was opened", path)
		} else if !strings.Contains(err.Error(), "audit.file") {
			t.Error(err)
		}
	}
}

func TestNoLogRefusesNothing(t *testing.T) {
	var l *Log
	done, err := l.Begin(Entry{})
	if err != nil {
		t.Fatal(err)
	}
	done(OK, "")
	l.Refuse(Entry{}, "")
	if err := errors.Join(l.Reopen(), l.Close()); err != nil {
		t.Error(err)
	}
}

func TestLinesOfManyDoNotMix(t *testing.T) {
	l, err := Open(Config{Path: filepath.Join(t.TempDir(), "a"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				done, _ := l.Begin(Entry{Action: "subscribe", Detail: strings.Repeat("x", 200)})
				done(OK, "")
				l.Refuse(Entry{}, "")
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(lines(t, l.cfg.Path)); got != 8*50+MaxRefused {
		t.Error(got)
	}
}

// FuzzLine: whatever is in an entry, its line is one line of JSON of printable
// characters, and not much longer than what may be in it.
func FuzzLine(f *testing.F) {
	f.Add("a\nb", "\x1b[2J", "\u202e")
	f.Add(strings.Repeat("é", MaxText), "\xff", `"},{`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		e := Entry{Action: a, App: b, Target: Target{Channel: c, User: a, Client: b, Method: c}, KeyID: b, Remote: c, Detail: a}
		text, err := e.line(c, time.Unix(1, 0), Outcome(b), a).encode()
		if err != nil {
			t.Fatal(err)
		}
		body, ended := bytes.CutSuffix(text, []byte("\n"))
		if !ended || !json.Valid(body) || bytes.ContainsFunc(body, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) {
			t.Errorf("%q", text)
		}
	})
}
