package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fanfare-push/fanfare"

var root = filepath.Join("..", "..")

func TestForbiddenImports(t *testing.T) {
	for _, fault := range forbidden(module, list(t), edges) {
		t.Error(fault)
	}
}

func TestModulesHaveOneOwner(t *testing.T) {
	for _, fault := range architecture(t).strangers(module, list(t)) {
		t.Error(fault)
	}
}

// A row that nobody needs any more misleads.
func TestOwnersImportWhatTheyOwn(t *testing.T) {
	used := map[string]bool{}
	table := architecture(t)
	for _, p := range list(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			used[table.of(path)] = true
		}
	}
	for m := range table {
		if !used[m] {
			t.Errorf("ARCHITECTURE.md has a row for %s, which nothing imports", m)
		}
	}
}

func architecture(t *testing.T) owners {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := parseOwners(string(text))
	if len(table) == 0 {
		t.Fatal("ARCHITECTURE.md has no table of dependencies")
	}
	return table
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestForbiddenFindsWhatItShould(t *testing.T) {
	tests := []struct {
		from, to string
		want     string
	}{
		{"internal/hub", module + "/internal/api", "what the outside builds on"},
		{"internal/hub", "net/http", "HTTP is one of them"},
		{"internal/hub", module + "/internal/engine/local", "not to one engine"},
		{"internal/hub", module + "/internal/engine", ""},
		{"internal/hub", "net", ""},
		{"internal/transport/websocket", module + "/internal/protocol/centrifuge", "moves bytes"},
		{"internal/protocol/centrifuge", module + "/internal/transport/websocket", "gives bytes meaning"},
		{"internal/protocol/pusher", module + "/internal/protocol/centrifuge", "meet in the hub"},
		{"internal/api", module + "/internal/app", "composition root"},
		{"internal/store", module + "/internal/config", "own Config"},
		{"internal/app", module + "/internal/config", ""},
		{"internal/doctor", module + "/internal/config", ""},
		{"internal/doctor", module + "/internal/hub", "the doctor judges settings"},
		{"cmd/fanfare", module + "/internal/app", ""},
		{"test/audit", module + "/internal/hub", "not the code they test"},
		{"client", module + "/internal/channel", "must not drag"},
	}
	for _, tt := range tests {
		got := forbidden(module, []pkg{{ImportPath: module + "/" + tt.from, Imports: []string{tt.to}}}, edges)
		switch {
		case tt.want == "" && len(got) > 0:
			t.Errorf("%s → %s: %q, want none", tt.from, tt.to, got)
		case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
			t.Errorf("%s → %s: %q, want one with %q", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestOwnersFindStrangers(t *testing.T) {
	table := parseOwners(`
## Dependencies

| for | module | why | owner |
|---|---|---|---|
| store | ` + "`some/db/v2`" + ` | fast | ` + "`internal/store`" + ` |
| leaks | ` + "`go.example.org/leak`" + ` | standard | tests |
`)
	tests := []struct {
		name string
		pkg  pkg
		want string
	}{
		{"owner", pkg{ImportPath: module + "/internal/store", Imports: []string{"github.com/some/db/v2/vfs"}}, ""},
		{"other", pkg{ImportPath: module + "/internal/hub", Imports: []string{"github.com/some/db/v2"}}, "its owner is internal/store"},
		{"unknown", pkg{ImportPath: module + "/internal/hub", Imports: []string{"github.com/some/db"}}, "no row"},
		{"in tests", pkg{ImportPath: module + "/internal/hub", TestImports: []string{"go.example.org/leak", "github.com/some/db/v2"}}, ""},
		{"unknown in tests", pkg{ImportPath: module + "/internal/hub", XTestImports: []string{"go.example.org/other"}}, "tests of internal/hub"},
		{"tests' module outside tests", pkg{ImportPath: module + "/internal/hub", Imports: []string{"go.example.org/leak"}}, "its owner is " + ownTests},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := table.strangers(module, []pkg{tt.pkg})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("%q, want none", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("%q, want one with %q", got, tt.want)
			}
		})
	}
}
