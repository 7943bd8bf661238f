package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/wire"
)

// signed is what a snippet judges, and what it has to say.
type signed struct {
	name string

	Headers map[string]string `json:"headers"` // names in lower case
	Body    string            `json:"body"`
	Secret  string            `json:"secret"`
	want    bool
}

// Programs around the functions of docs/hooks.md: a list of signed comes in, a list
// of verdicts goes out.
var programs = []struct {
	fence, file, before, after string
	run                        []string
	mayMiss                    bool // where it is not installed it is left out
}{
	{fence: "go", file: "main.go", run: []string{"go", "run"}, before: `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"time"
)
`, after: `
func main() {
	var cases []struct {
		Headers      map[string]string
		Body, Secret string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	verdicts := []bool{}
	for _, c := range cases {
		h := http.Header{}
		for name, value := range c.Headers {
			h.Set(name, value)
		}
		verdicts = append(verdicts, verify(h, []byte(c.Body), c.Secret))
	}
	_ = json.NewEncoder(os.Stdout).Encode(verdicts)
}
`},
	{fence: "js", file: "main.mjs", run: []string{"node"}, after: `
const { readFileSync } = await import('node:fs')
console.log(JSON.stringify(JSON.parse(readFileSync(0)).map((c) => verify(c.headers, c.body, c.secret))))
`},
	{fence: "python", file: "main.py", run: []string{"python3"}, mayMiss: true, after: `
import json, sys

verdicts = []
for c in json.load(sys.stdin):
    headers = {name.title(): value for name, value in c["headers"].items()}
    verdicts.append(verify(headers, c["body"].encode(), c["secret"]))
print(json.dumps(verdicts))
`},
	{fence: "php", file: "main.php", run: []string{"php"}, mayMiss: true, before: "<?php\n", after: `
$verdicts = [];
foreach (json_decode(file_get_contents('php://stdin'), true) as $c) {
    $verdicts[] = verify($c['headers'], $c['body'], $c['secret']);
}
echo json_encode($verdicts);
`},
}

// What the documentation shows for verifying a question is run, as it stands, on a
// question of the server, on what somebody made of it, and on what is too old. It
// has to answer each: who can make it fail ends the backend.
func TestDocumentedSnippets(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	cases := signatures(t)
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p.run[0]); err != nil && p.mayMiss {
			continue
		}
		t.Run(p.fence, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), p.file)
			if err := os.WriteFile(file, []byte(p.before+snippet(t, string(page), p.fence)+p.after), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a compiler may be cold
			defer cancel()
			cmd := exec.CommandContext(ctx, p.run[0], append(p.run[1:], file)...)
			cmd.Dir, cmd.Stdin = filepath.Dir(file), bytes.NewReader(in)
			var complaints strings.Builder
			cmd.Stderr = &complaints
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, complaints.String())
			}
			var got []bool
			if err := json.Unmarshal(out, &got); err != nil || len(got) != len(cases) {
				t.Fatalf("%v: %s", err, out)
			}
			for i, c := range cases {
				if got[i] != c.want {
					t.Errorf("%s: %t", c.name, got[i])
				}
			}
		})
	}
}

// snippet is the one block of a language that has a function verify.
func snippet(t *testing.T, page, fence string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n```"+fence+"\n")
	code, _, ended := strings.Cut(rest, "\n```")
	if !found || !ended || !strings.Contains(code, "verify(") {
		t.Fatalf("docs/hooks.md has no block of %s with verify", fence)
	}
	return code + "\n"
}

// signatures are a question of the server and what can be made of it. What the
// server does not make is signed here.
func signatures(t *testing.T) []signed {
	t.Helper()
	asked := recorded(t)
	made := func(at time.Time) signed {
		s := signed{Body: asked.Body, Secret: Secret, Headers: map[string]string{
			"x-fanfare-timestamp": strconv.FormatInt(at.Unix(), 10), "x-fanfare-hook": "connect",
		}}
		mac := hmac.New(sha256.New, []byte(Secret))
		_, _ = io.WriteString(mac, s.Headers["x-fanfare-timestamp"]+".connect."+s.Body)
		s.Headers["x-fanfare-signature"] = "v1=" + hex.EncodeToString(mac.Sum(nil))
		return s
	}
	named := func(name string, want bool, s signed, changes ...string) signed {
		s.name, s.want = name, want
		headers := map[string]string{}
		for k, v := range s.Headers {
			headers[k] = v
		}
		for i := 0; i < len(changes); i += 2 {
			if headers[changes[i]] = changes[i+1]; changes[i+1] == "" {
				delete(headers, changes[i])
			}
		}
		s.Headers = headers
		return s
	}
	now := time.Now()
	good := asked.Headers["x-fanfare-signature"]
	otherBody, otherSecret := asked, asked
	otherBody.Body += " "
	otherSecret.Secret += "x"
	return []signed{
		named("a question of the server", true, asked),
		named("signed here", true, made(now)),
		named("a little late", true, made(now.Add(-4*time.Minute))),
		named("a clock that is ahead", true, made(now.Add(4*time.Minute))),
		named("replayed", false, made(now.Add(-6*time.Minute))),
		named("of the future", false, made(now.Add(6*time.Minute))),
		named("of long ago", false, made(time.Unix(0, 0))),
		named("with a new time", false, made(now.Add(-6*time.Minute)), "x-fanfare-timestamp", strconv.FormatInt(now.Unix(), 10)),
		named("another body", false, otherBody),
		named("another secret", false, otherSecret),
		named("another hook", false, asked, "x-fanfare-hook", "refresh"),
		named("no hook", false, asked, "x-fanfare-hook", ""),
		named("no time", false, asked, "x-fanfare-timestamp", ""),
		named("a time that is none", false, asked, "x-fanfare-timestamp", "NaN"),
		named("a digit that is no number", false, asked, "x-fanfare-timestamp", "²"),
		named("a time beyond numbers", false, asked, "x-fanfare-timestamp", strings.Repeat("9", 5000)),
		named("no signature", false, asked, "x-fanfare-signature", ""),
		named("half a signature", false, asked, "x-fanfare-signature", good[:len(good)/2]),
		named("a longer signature", false, asked, "x-fanfare-signature", good+"0"),
		named("another version", false, asked, "x-fanfare-signature", "v2"+good[2:]),
		named("a signature of another length in bytes", false, asked, "x-fanfare-signature", strings.Repeat("é", len(good))),
	}
}

// recorded is what the server asks when a client connects whose data is not ASCII.
func recorded(t *testing.T) signed {
	t.Helper()
	questions := make(chan signed, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s := signed{Body: string(body), Secret: Secret, Headers: map[string]string{}}
		for name := range r.Header {
			s.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		questions <- s
		_, _ = io.WriteString(w, `{"result":{"user":"ann"}}`)
	}))
	t.Cleanup(backend.Close)
	p := startAt(t, backend.URL, "")
	c := p.dial("sid=ann")
	var m wire.Message
	if m = p.ask(c, 1, `"connect":{"data":{"text":"Ünï ✓ \u2028 \"x\""}}`); m.Connect == nil {
		t.Fatalf("connect: %s", m.Raw)
	}
	s := <-questions
	if !strings.Contains(s.Body, "✓") {
		t.Errorf("the question is %s", s.Body)
	}
	return s
}
