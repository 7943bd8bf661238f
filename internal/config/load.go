package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/v2"
)

// Sources are where settings come from; later ones go first.
type Sources struct {
	File  string            // YAML, TOML or JSON by its suffix; "": none
	Env   []string          // as of os.Environ
	Flags map[string]string // by key, "data_dir"; only those that were given
}

// Environment variables that are no settings of the server.
const (
	EnvConfig = EnvPrefix + "CONFIG" // names the file
	EnvServer = EnvPrefix + "SERVER" // where publish and subscribe find the server
	EnvToken  = EnvPrefix + "TOKEN"  // what subscribe connects with
	envBinary = EnvPrefix + "BIN"    // the binary under test
)

// otherEnv is what else may begin as our variables do: the above, and what
// Kubernetes tells every container of a service called fanfare.
var otherEnv = regexp.MustCompile(`^(` + strings.Join([]string{EnvConfig, EnvServer, EnvToken, envBinary}, "|") +
	`|FANFARE_SERVICE_(HOST|PORT\w*)|FANFARE_PORT(_\d+_(TCP|UDP|SCTP)\w*)?)$`)

// maxFile bounds a config file.
const maxFile = 1 << 20

// Load reads and checks every setting. Its error is one line for each thing that
// is wrong: where it was found, the key and what is allowed or what may have been
// meant, never the value of a secret.
func Load(s Sources) (Config, error) {
	file, err := s.readFile()
	if err != nil {
		return Config{}, err
	}
	c := Default()
	if err := s.apply(&c, file); err != nil {
		return Config{}, err
	}
	if c.Dev { // which had to be known to know where to start
		c = devDefault()
		if err := s.apply(&c, file); err != nil {
			return Config{}, err
		}
		c.finishDev()
	}
	c.Cluster.forgetSelf()
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// apply puts all sources on top of c.
func (s *Sources) apply(c *Config, file map[string]any) error {
	d := &decoder{source: s.File, base: c.Channel.WithoutNamespace}
	d.group(reflect.ValueOf(c).Elem(), file, "")
	known := settings(configType)
	for _, variable := range slices.Sorted(slices.Values(s.Env)) {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, EnvPrefix) || otherEnv.MatchString(name) {
			continue
		}
		i := slices.IndexFunc(known, func(k setting) bool { return env(k.key) == name })
		if i < 0 {
			d.errs = append(d.errs, unknownVariable(name, known))
			continue
		}
		if value != "" {
			d.source = name
			d.value(reflect.ValueOf(c).Elem().FieldByIndex(known[i].index), value, known[i].key)
		}
	}
	for _, k := range known {
		if value, given := s.Flags[k.key]; given {
			d.source = "--" + FlagName(k.key)
			d.value(reflect.ValueOf(c).Elem().FieldByIndex(k.index), value, k.key)
		}
	}
	return errors.Join(d.errs...)
}

// FlagName is what the flag of a key is called, without dashes before it.
func FlagName(key string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(key) }

func unknownVariable(name string, known []setting) error {
	names := []string{EnvConfig, EnvServer, EnvToken}
	for _, k := range known {
		names = append(names, env(k.key))
	}
	return fmt.Errorf("environment: there is no variable %s; did you mean %s?", name, nearest(name, names))
}

// readFile gives what the file says; nil when there is none.
func (s *Sources) readFile() (map[string]any, error) {
	if s.File == "" {
		return map[string]any{}, nil
	}
	parser, err := parserFor(s.File)
	if err != nil {
		return nil, err
	}
	k := koanf.New(".")
	if err := k.Load(limited(s.File), parser); err != nil {
		if errors.Is(err, errFile) {
			return nil, err
		}
		return nil, fmt.Errorf("config %s is not valid %s: %w", s.File, formatOf(s.File), err)
	}
	return k.Raw(), nil
}

func formatOf(file string) string {
	return strings.TrimPrefix(strings.ToLower(filepath.Ext(file)), ".")
}

func parserFor(file string) (koanf.Parser, error) {
	switch formatOf(file) {
	case "yaml", "yml":
		return yaml.Parser(), nil
	case "toml":
		return toml.Parser(), nil
	case "json":
		return json.Parser(), nil
	}
	if info, err := os.Stat(file); err != nil || info.IsDir() {
		return nil, readError(file, err)
	}
	return nil, fmt.Errorf("config %s: its name must end with .yaml, .yml, .toml or .json", file)
}

var errFile = errors.New("cannot be read")

func readError(file string, err error) error {
	if err == nil {
		err = errors.New("it is a directory")
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // the file is named already
	}
	return fmt.Errorf("config %s %w: %w", file, errFile, err)
}

// limited is a koanf.Provider that reads a file, if it is not too large.
type limited string

// ReadBytes implements koanf.Provider.
func (l limited) ReadBytes() ([]byte, error) {
	f, err := os.Open(string(l))
	if err != nil {
		return nil, readError(string(l), err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, readError(string(l), err)
	}
	if len(b) > maxFile {
		return nil, readError(string(l), fmt.Errorf("it has more than %s", Size(maxFile)))
	}
	return b, nil
}

// Read implements koanf.Provider; a Provider has one of the two.
func (limited) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }
