package house

import (
	"slices"
	"strings"
	"testing"
)

// Each check is given what it must find, and the nearest thing it must not.
func TestChecksFindWhatTheyShould(t *testing.T) {
	lines := strings.Repeat("\t_ = 0\n", maxFuncLines)
	tests := []struct {
		name  string
		check func(*source) []string
		file  string
		code  string
		want  string
	}{
		{"long function", (*source).sizes, "a/a.go", "func F() {\n" + lines + "}\n", "a/a.go#F: 82 lines"},
		{"function at the limit", (*source).sizes, "a/a.go", "func F() {\n" + lines[:len(lines)-14] + "}\n", ""},
		{"long function in a test", (*source).sizes, "a/a_test.go", "func F() {\n" + lines + "}\n", ""},
		{"long file", (*source).sizes, "a/a.go", strings.Repeat("var _ = 0\n", maxFileLines), "a/a.go: 502 lines"},
		{"sleep in a test", (*source).sleeps, "a/a_test.go", "func F() { time.Sleep(1) }", "a/a_test.go:3: a sleep"},
		{"sleep in test/", (*source).sleeps, "test/a/a.go", "func F() { go func() { time.Sleep(1) }() }", "a sleep"},
		{"sleep elsewhere", (*source).sleeps, "a/a.go", "func F() { time.Sleep(1) }", ""},
		{"sleep in virtual time", (*source).sleeps, "a/a_test.go", "func F() { synctest.Test(t, func() { time.Sleep(1) }) }", ""},
		{"other sleep", (*source).sleeps, "a/a_test.go", "func F() { clock.Sleep(1) }", ""},
		{"skipped", (*source).leftovers, "a/a_test.go", "func F(t *testing.T) { t.Skipf(`x`) }", "a skipped test"},
		{"other Skip", (*source).leftovers, "a/a.go", "func F(r *reader) { r.Skip(1) }", ""},
		{"put off", (*source).leftovers, "a/a.go", "// TO" + "DO: later\n", "do it"},
		{"secret compared", (*source).comparisons, "a/a.go", "func F(c cfg, s string) bool { return c.Secret == s }", "a/a.go:3: Secret is compared with =="},
		{"signature of a request", (*source).comparisons, "a/a.go", "func F(q v, s string) bool { return s != q.Get(`auth_signature`) }", "auth_signature"},
		{"secret that is set", (*source).comparisons, "a/a.go", "func F(c cfg) bool { return c.Secret == `` }", ""},
		{"secret in a test", (*source).comparisons, "a/a_test.go", "func F(c cfg, s string) bool { return c.Secret == s }", ""},
		{"something else", (*source).comparisons, "a/a.go", "func F(c cfg, s string) bool { return c.SecretName == s }", ""},
		{"in a string", (*source).leftovers, "a/a.go", "var x = `TO" + "DO`", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := parse(tt.file, "package a\n\n"+tt.code)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, tt.check(src), tt.want)
		})
	}
}

func TestMachineBound(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"registry", `"resolved": "https://registry.` + `npmjs.org/ws"`, "a:1: registry"},
		{"home", "see\n/ho" + "me/ann/file", "a:2: /ho" + "me/ann"},
		{"in quotes", `x="/ro` + `ot/file"`, "a:1"},
		{"url", "https://example.org/work/x", ""},
		{"relative", "docs/work/x", ""},
		{"conventional", "data_dir: /var/lib/fanfare", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, machineBound("a", tt.text), tt.want) })
	}
}

func TestUndocumented(t *testing.T) {
	expect(t, undocumented([]string{"internal/a/a.go", "internal/b/b.go", "internal/b/doc.go", "cmd/x/main.go"}), "internal/a: no doc.go")
}

func TestMentions(t *testing.T) {
	page := "Read `internal/a/a.go#Open` in [there](b.md#x), `internal/a/`, [web](https://example.org), [here](#x).\n" +
		"```\n`internal/not/there`\n```\n"
	want := []mention{
		{path: "internal/a/a.go", symbol: "Open", raw: "`internal/a/a.go#Open`"},
		{path: "internal/a", raw: "`internal/a/`"},
		{path: "docs/b.md", raw: "](b.md#x)"},
	}
	if got := mentions("docs", page); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestThreats(t *testing.T) {
	const head = "## Threats\n\n| asset | attack | defence | test |\n|---|---|---|---|\n"
	tests := []struct {
		name, page string
		rows       int
		want       string
	}{
		{"good", head + "| a | b | c | `internal/a/a_test.go#TestA`, `test/npm/a.test.mjs` |\n", 1, ""},
		{"fuzz test", head + "| a | b | c | `internal/a/a_test.go#FuzzA` |\n", 1, ""},
		{"no test", head + "| a | b | c | by hand |\n", 1, "names no test"},
		{"no test but code", head + "| a | b | c | `internal/a/a.go#TestA` |\n", 1, "internal/a/a.go"},
		{"no test but a helper", head + "| a | b | c | `internal/a/a_test.go#helper` |\n", 1, "helper"},
		{"a whole Go file", head + "| a | b | c | `internal/a/a_test.go` |\n", 1, "which one"},
		{"no defence", head + "| a | b |  | `internal/a/a_test.go#TestA` |\n", 1, "4 cells"},
		{"a cell too many", head + "| a | b | c | d | `internal/a/a_test.go#TestA` |\n", 1, "4 cells"},
		{"another table", "| a | b |\n" + head + "\n## After\n\n| x |\n", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows, faults := threats(tt.page)
			if rows != tt.rows {
				t.Errorf("%d rows", rows)
			}
			expect(t, faults, tt.want)
		})
	}
}

func TestMakeTargets(t *testing.T) {
	page := "To make sure, `make test`.\n```sh\nmake run  # it\n```\n"
	if got, want := makeTargets(page), []string{"run", "test"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDeclares(t *testing.T) {
	src, err := parse("a.go", "package a\ntype T struct{ f int }\nfunc (T) M() {}\nconst (\n\tA = 1\n\tB = 2\n)\nfunc F() { var local int; _ = local }\n")
	if err != nil {
		t.Fatal(err)
	}
	for symbol, want := range map[string]bool{"T": true, "M": true, "A": true, "B": true, "F": true, "f": false, "local": false, "": false} {
		if got := src.declares(symbol); got != want {
			t.Errorf("declares(%q) = %v", symbol, got)
		}
	}
}

// expect wants one fault that contains want, or none for "".
func expect(t *testing.T, got []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("%q, want none", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("%q, want one with %q", got, want)
	}
}
