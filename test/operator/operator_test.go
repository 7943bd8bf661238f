package operator

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
)

const (
	apiKey  = "operator-key-5d1f"
	timeout = 20 * time.Second
)

// bin is the binary under test, built once.
var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("operator")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// operated is a server with an audit log.
type operated struct {
	*server.Server
	api  *server.API
	file string
}

func start(t *testing.T, audit string) *operated {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	dir := t.TempDir()
	o := &operated{file: filepath.Join(dir, "audit.jsonl")}
	var err error
	o.Server, err = server.Start(ctx, server.Options{
		Bin: bin, Dir: dir, APIKey: apiKey,
		Config: "api: {key: " + apiKey + "}\naudit: {file: '" + o.file + "'" + audit + "}\nchannel: {namespaces: [{name: chat, history_size: 1, history_ttl: 1m}]}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o.api = o.API(&http.Client{Transport: transport, Timeout: timeout})
	return o
}

// call wants an answer, whatever it says.
func (o *operated) call(t *testing.T, key, method, body string) *server.Reply {
	t.Helper()
	api := *o.api
	api.Key = key
	reply, err := api.Post(t.Context(), method, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// entry is a line of the audit log.
type entry struct {
	Time, ID, Action, App, Key, Remote, Detail, Outcome, Error string
	Target                                                     struct{ Channel, User, Client, Method string }
}

// entries are the lines of a file without those that say that it was opened.
func entries(t *testing.T, file string) (all []entry) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), apiKey) {
		t.Errorf("the key is in the log:\n%s", text)
	}
	for line := range bytes.Lines(text) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Action != "log_opened" {
			all = append(all, e)
		}
	}
	return all
}

func actions(all []entry) string {
	var names []string
	for _, e := range all {
		names = append(names, e.Action+" "+e.Outcome)
	}
	return strings.Join(names, ", ")
}

func TestAuditLog(t *testing.T) {
	o := start(t, "")
	o.call(t, apiKey, "publish", `{"channel":"chat:a","data":1}`)
	o.call(t, apiKey, "disconnect", `{"user":"ann\n{\"action\":\"forged\"}","disconnect":{"code":4000,"reason":"\u001b[2Jbye"}}`)
	o.call(t, apiKey, "batch", `{"commands":[{"history_remove":{"channel":"chat:a"}},{"history_remove":{"channel":"none:a"}}]}`)
	if reply := o.call(t, "a guess", "info", `{}`); reply.Status != http.StatusUnauthorized {
		t.Error(reply.Status)
	}
	all := entries(t, o.file)
	if got := actions(all); got != "disconnect ok, history_remove ok, history_remove refused, key_refused refused" {
		t.Fatal(got)
	}
	sum := sha256.Sum256([]byte(apiKey))
	first := all[0]
	if first.Key != hex.EncodeToString(sum[:4]) || first.App != "default" || !strings.HasPrefix(first.Remote, "127.0.0.1:") ||
		first.Target.User != "ann\n{\"action\":\"forged\"}" || !strings.Contains(first.Detail, "4000") {
		t.Errorf("%+v", first)
	}
	if last := all[3]; last.Target.Method != "info" || last.Key == first.Key || last.Key == "" {
		t.Errorf("%+v", last)
	}
	text, err := os.ReadFile(o.file)
	if err != nil || bytes.ContainsAny(text, "\x1b\r") {
		t.Errorf("%q %v", text, err)
	}
	info, err := os.Stat(o.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if n := metric(t, o, `fanfare_audit_lines_total{result="written"}`); n != "5" {
		t.Errorf("%s lines are counted", n)
	}
}

// metric is the value of one series.
func metric(t *testing.T, o *operated, series string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.Addr()+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", apiKey)
	res, err := o.api.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), series+" ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// until waits for a condition that another process brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestAuditLogIsRotated(t *testing.T) {
	o := start(t, "")
	o.call(t, apiKey, "disconnect", `{"user":"before"}`)
	moved := o.file + ".1"
	if err := os.Rename(o.file, moved); err != nil {
		t.Fatal(err)
	}
	o.call(t, apiKey, "disconnect", `{"user":"between"}`)
	process, err := os.FindProcess(o.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the new file", func() bool {
		text, err := os.ReadFile(o.file)
		return err == nil && bytes.Contains(text, []byte(`"reload"`)) && bytes.HasSuffix(text, []byte("\n"))
	})
	o.call(t, apiKey, "disconnect", `{"user":"after"}`)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if code, err := o.Stop(ctx); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	var users []string
	for _, e := range append(entries(t, moved), entries(t, o.file)...) {
		users = append(users, cmp.Or(e.Target.User, e.Action))
	}
	if got := strings.Join(users, " "); got != "before between reload after" {
		t.Error(got)
	}
}

func TestRequiredAuditLog(t *testing.T) {
	o := start(t, ", required: true")
	o.call(t, apiKey, "disconnect", `{"user":"ann"}`)
	all := entries(t, o.file)
	if got := actions(all); got != "disconnect begun, disconnect ok" || all[0].ID != all[1].ID {
		t.Errorf("%+v", all)
	}
}

// A log that cannot be kept is no reason to run without one.
func TestAuditLogThatCannotBeOpened(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	s, err := server.Launch(server.Options{Bin: bin, Dir: t.TempDir(), Config: "audit: {file: /dev/null}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if code, err := s.Wait(ctx); err != nil || code != 1 || !strings.Contains(s.Output(), "audit.file") || !strings.Contains(s.Output(), "no regular file") {
		t.Errorf("%d, %v\n%s", code, err, s.Output())
	}
}

func TestPlaceholdersAreRefused(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	opts := server.Options{Bin: bin, Dir: t.TempDir(), Env: []string{"FANFARE_APP_SECRET=…", "FANFARE_API_KEY=<key>"}}
	for _, args := range [][]string{{"config", "check"}, {"serve", "--listen", "127.0.0.1:0"}, {"doctor"}} {
		code, output, err := server.Run(ctx, opts, args...)
		if err != nil || code != 1 || !strings.Contains(output, "app.secret: this is a placeholder") || !strings.Contains(output, "api.key: this is a placeholder") ||
			strings.Contains(output, "<key>") {
			t.Errorf("%q: %d, %v\n%s", args, code, err, output)
		}
	}
}
