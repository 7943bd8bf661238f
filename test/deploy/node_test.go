package deploy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/test/server"
)

var bin string

func TestMain(m *testing.M) {
	var done func(int)
	bin, done = server.ForTests("deploy")
	goleak.VerifyTestMain(m, goleak.Cleanup(done))
}

// tree is the content of a YAML or JSON document.
type tree map[string]any

// at follows a path of names, and numbers of list items; nil: there is nothing.
func (t tree) at(path ...any) any {
	var v any = map[string]any(t)
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			list, _ := v.([]any)
			if key >= len(list) {
				return nil
			}
			v = list[key]
		}
	}
	return v
}

// text is what is at a path, as text.
func (t tree) text(path ...any) string {
	v := t.at(path...)
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (t tree) list(path ...any) []any {
	list, _ := t.at(path...).([]any)
	return list
}

func (t tree) group(path ...any) tree {
	m, _ := t.at(path...).(map[string]any)
	return m
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, text string) tree {
	t.Helper()
	m, err := yaml.Parser().Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// drawn is what a secret is filled in with.
const drawn = "3d6e8b90f1427a5c6b3e0d98f7a1c2549f3c1d7e52ab40686e0d95c4b17fa2"

// node is a node as a sample would start it.
type node struct {
	args  []string // after the program's name
	env   map[string]string
	files map[string]string // by their place on the machine or in the container
}

// check asks the binary whether it takes the settings, and gives them as it prints
// them.
func (n *node) check(t *testing.T) tree {
	t.Helper()
	dir := t.TempDir()
	if len(n.args) == 0 || n.args[0] != "serve" {
		t.Fatalf("it runs %q, and not serve", n.args)
	}
	args := slices.Clone(n.args[1:])
	for i, arg := range args {
		if text, is := n.files[arg]; is {
			args[i] = filepath.Join(dir, filepath.Base(arg))
			if err := os.WriteFile(args[i], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var env []string
	for name, value := range n.env {
		env = append(env, name+"="+value)
	}
	var printed string
	for _, verb := range []string{"check", "print"} {
		code, out, err := server.Run(t.Context(), server.Options{Bin: bin, Dir: dir, Env: env}, append([]string{"config", verb}, args...)...)
		if err != nil || code != 0 {
			t.Fatalf("config %s ends with %d, %v:\n%s", verb, code, err, out)
		}
		if verb == "check" && strings.Contains(out, "do not run it") {
			t.Errorf("the doctor calls an error:\n%s", out)
		}
		printed = out
	}
	return parse(t, printed)
}

// isMember checks what a node needs to be one of three.
func isMember(t *testing.T, settings tree, name, advertise string) {
	t.Helper()
	if got := settings.text("cluster", "node"); got != name {
		t.Errorf("cluster.node is %q, want %q", got, name)
	}
	if got := settings.text("cluster", "advertise"); got != advertise {
		t.Errorf("cluster.advertise is %q, want %q", got, advertise)
	}
	peers := settings.list("cluster", "peers")
	if len(peers) != 2 || slices.Contains(peers, any(advertise)) {
		t.Errorf("cluster.peers of %s: %q", name, peers)
	}
	if settings.text("api", "key") == "" || settings.text("app", "secret") == "" {
		t.Error("api.key or app.secret is not set")
	}
}

// reference is ${NAME:?why} of a compose file.
var reference = regexp.MustCompile(`\$\{([A-Z_]+)[^}]*\}`)

// fill puts drawn secrets in the place of references.
func fill(s string) string {
	return reference.ReplaceAllStringFunc(s, func(ref string) string {
		return secretFor(reference.FindStringSubmatch(ref)[1])
	})
}

// secretFor is a secret of its own for each name.
func secretFor(name string) string { return fmt.Sprintf("%s%02x", drawn, len(name)) }

func sorted(m tree) []string { return slices.Sorted(maps.Keys(m)) }
