package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
)

// Print is every setting as YAML, secrets masked. Options of namespaces that are
// off are left out.
func (c *Config) Print() ([]byte, error) {
	values := group(reflect.ValueOf(*c), false)
	return yaml.Parser().Marshal(values)
}

// group gives a struct as a map; sparse leaves out what is zero.
func group(v reflect.Value, sparse bool) map[string]any {
	values := map[string]any{}
	for _, s := range settings(v.Type()) {
		field := v.FieldByIndex(s.index)
		if field.IsZero() && (sparse || strings.HasPrefix(s.key, "channel.without_namespace.")) {
			continue
		}
		inside := values
		path := strings.Split(s.key, ".")
		for _, name := range path[:len(path)-1] {
			next, ok := inside[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				inside[name] = next
			}
			inside = next
		}
		inside[path[len(path)-1]] = printable(field)
	}
	return values
}

func printable(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case time.Duration:
		return short(value)
	case fmt.Stringer: // Size, Secret
		return value.String()
	case []string:
		return append([]string{}, value...)
	}
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		list := []any{}
		for i := range v.Len() {
			list = append(list, group(v.Index(i), true))
		}
		return list
	}
	return v.Interface()
}

// short is a duration without the units that are 0.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
