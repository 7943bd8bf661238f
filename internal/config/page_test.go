package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const head = `# Configuration

Every setting of the server. Generated from the code by ` + "`go test ./internal/config -update`" + `; a test compares
this page with it.

A setting is taken from a flag, or else from the environment, or else from the file, or else it is the default:

` + "```sh" + `
fanfare serve --config fanfare.yaml          # the file: YAML, TOML or JSON, by its suffix
FANFARE_CLIENT_PING_INTERVAL=10s             # the variable of client.ping_interval
fanfare serve --log-level debug              # flags: see fanfare serve --help
` + "```" + `

` + "```yaml" + `
listen: :8000
client:
  ping_interval: 10s
channel:
  namespaces:
    - name: chat
      history_size: 1000
      history_ttl: 168h
` + "```" + `

- **Names.** An unknown name, in the file or in the environment, is an error that tells the nearest known one. The
  variable of a key is the key in capitals, with ` + "`FANFARE_`" + ` before it and ` + "`_`" + ` for each dot; one that is empty counts as
  not set.
- **Durations** have a unit: ` + "`500ms`, `30s`, `168h`" + `. **Sizes** are bytes, or have one: ` + "`64KiB` is 65,536 and `64KB` is 64,000" + `.
- **Lists** in the environment: of texts, separated by commas; of namespaces and backends, as JSON:
  ` + "`FANFARE_CHANNEL_NAMESPACES='[{\"name\":\"chat\",\"presence\":true}]'`" + `.
- **Secrets** are never printed. Rather than in the file, they may stand in the environment:
  ` + "`FANFARE_APP_SECRET`, `FANFARE_API_KEY`" + `.

` + "`fanfare config check`" + ` says whether a server would start with its settings, ` + "`fanfare config print`" + ` which they are.
`

const otherVariables = `
## Variables that are no settings

| variable | meaning |
|---|---|
| ` + "`" + EnvConfig + "`" + ` | the file with settings, as ` + "`--config`" + ` |
| ` + "`" + EnvServer + "`" + ` | address of the server for ` + "`fanfare publish` and `fanfare subscribe`, as `--server`" + ` |
| ` + "`" + EnvToken + "`" + ` | connection token of ` + "`fanfare subscribe`, as `--token`" + ` |

What Kubernetes tells the containers of a service called ` + "`fanfare`" + ` (` + "`FANFARE_PORT`, `FANFARE_SERVICE_HOST`" + `, …) is passed over.
`

// comments gives the comment on each field's line, by "Struct.Field".
func comments(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if st, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				for _, name := range f.Names {
					found[spec.Name.Name+"."+name.Name] = strings.TrimSpace(f.Comment.Text())
				}
			}
		}
		return true
	})
	return found
}

// sentence makes a comment one.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func code(v any) string {
	text := fmt.Sprint(v)
	if text == "" || text == "[]" || text == "map[]" {
		return "–"
	}
	return "`" + text + "`"
}

// rows describes the fields of a struct that are values.
func rows(t *testing.T, b *strings.Builder, v reflect.Value, prefix string, texts map[string]string) {
	t.Helper()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _ := keyOf(f)
		if f.Type.Kind() == reflect.Struct {
			continue
		}
		text := texts[v.Type().Name()+"."+f.Name]
		if text == "" {
			t.Errorf("%s%s has no comment", prefix, name)
			continue
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, name, code(printable(v.Field(i))), allowed(f), sentence(text))
	}
}

const tableHead = "| setting | default | allowed | meaning |\n|---|---|---|---|\n"

func page(t *testing.T) string {
	t.Helper()
	texts := comments(t, "config.go")
	for _, file := range []string{filepath.Join("..", "channel", "options.go"), "hooks.go", "cluster.go"} {
		for name, text := range comments(t, file) {
			texts[name] = text
		}
	}
	c := Default()
	v := reflect.ValueOf(c)
	var b strings.Builder
	b.WriteString(head + "\n## Server\n\n" + tableHead)
	rows(t, &b, v, "", texts)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Type.Kind() == reflect.Struct {
			name, _ := keyOf(f)
			fmt.Fprintf(&b, "\n## %s\n\n%s", name, tableHead)
			rows(t, &b, v.Field(i), name+".", texts)
			if f.Type == reflect.TypeFor[Channel]() {
				optionRows(t, &b, texts)
			}
		}
	}
	devPage(&b)
	b.WriteString(otherVariables)
	return b.String()
}

// optionRows describes the options of channels; none of them is set by default.
func optionRows(t *testing.T, b *strings.Builder, texts map[string]string) {
	t.Helper()
	b.WriteString("\n### Options of channels\n\nOf a namespace in `channel.namespaces`, and below `channel.without_namespace`. " +
		"Everything is off until it is set.\nWhich suit which application: [requirements.md](requirements.md).\n\n" +
		"| option | allowed | meaning |\n|---|---|---|\n")
	for _, s := range settings(reflect.TypeFor[channel.Options]()) {
		text := texts["Options."+s.field.Name]
		if text == "" {
			t.Errorf("option %s has no comment", s.key)
			continue
		}
		text = strings.ReplaceAll(text, `"": Disk`, "default: disk")
		text = strings.ReplaceAll(text, `"": RecoverStream`, "default: stream")
		text = strings.ReplaceAll(text, `""`, "empty")
		text = strings.ReplaceAll(text, "DefaultHistoryMetaTTL", short(channel.DefaultHistoryMetaTTL))
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", s.key, allowed(s.field), sentence(text))
	}
}

// devPage lists what dev mode changes.
func devPage(b *strings.Builder) {
	b.WriteString("\n## Dev mode\n\n`--dev` has other defaults, which the file and the environment may change. It listens on loopback only. " +
		"The options below\nare also where each namespace starts, and every namespace that is not in the list exists.\n\n| setting | default |\n|---|---|\n")
	normal, dev := reflect.ValueOf(Default()), reflect.ValueOf(devDefault())
	for _, s := range settings(configType) {
		v := dev.FieldByIndex(s.index)
		if reflect.DeepEqual(v.Interface(), normal.FieldByIndex(s.index).Interface()) {
			continue
		}
		value := printable(v)
		if secret, ok := v.Interface().(Secret); ok {
			value = string(secret) // everybody knows these
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", s.key, code(value))
	}
}

func TestDocumentedSettings(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	want := page(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; run go test ./internal/config -update", path)
	}
}
