package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// decoder puts what one source says into a Config and collects what is wrong.
// Values are never part of a message: they may be secrets.
type decoder struct {
	source string          // file, environment variable or flag, for messages
	base   channel.Options // where the options of a namespace start
	errs   []error
}

func (d *decoder) fail(key, format string, args ...any) {
	at := key + ": "
	if d.source != "" {
		at = d.source + ": " + at
	}
	d.errs = append(d.errs, fmt.Errorf(at+format, args...))
}

// group decodes a map into a struct.
func (d *decoder) group(dst reflect.Value, raw any, at string) {
	values, ok := raw.(map[string]any)
	if !ok {
		d.fail(strings.TrimSuffix(at, "."), "must be %s", kind(dst.Type()))
		return
	}
	fields := map[string]reflect.Value{}
	namesOf(dst, fields)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field, known := fields[name]
		if !known {
			d.fail(at+name, "there is no such setting; %s", nearestKey(at, name, slices.Sorted(maps.Keys(fields))))
			continue
		}
		if values[name] != nil { // nothing after the colon
			d.value(field, values[name], at+name)
		}
	}
}

// namesOf maps the names in a struct to its fields.
func namesOf(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		name, squash := keyOf(v.Type().Field(i))
		if squash {
			namesOf(v.Field(i), into)
			continue
		}
		into[name] = v.Field(i)
	}
}

// value decodes one value of any kind.
func (d *decoder) value(dst reflect.Value, raw any, key string) {
	switch {
	case dst.Kind() == reflect.Struct:
		d.group(dst, raw, key+".")
	case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Struct:
		d.groups(dst, raw, key)
	case !scalar(dst, raw) && dst.Kind() == reflect.String:
		d.fail(key, "must be text: put it in quotes")
	case !scalar(dst, raw):
		d.fail(key, "must be %s", kind(dst.Type()))
	}
}

// groups decodes a list of structs; a namespace starts on top of base.
func (d *decoder) groups(dst reflect.Value, raw any, key string) {
	what := key[strings.LastIndex(key, ".")+1:]
	if text, ok := raw.(string); ok { // from the environment
		if json.Unmarshal([]byte(text), &raw) != nil {
			d.fail(key, "must be a list of %s in JSON", what)
			return
		}
	}
	list, ok := elements(raw)
	if !ok {
		d.fail(key, "must be a list of %s", what)
		return
	}
	groups := reflect.MakeSlice(dst.Type(), len(list), len(list))
	for i, element := range list {
		if ns, ok := groups.Index(i).Addr().Interface().(*channel.Namespace); ok {
			ns.Options = d.base
		}
		d.group(groups.Index(i), element, fmt.Sprintf("%s[%s].", key, nameOf(element, i)))
	}
	dst.Set(groups)
}

// elements gives a list as it comes from any of the formats.
func elements(raw any) ([]any, bool) {
	switch list := raw.(type) {
	case []any:
		return list, true
	case []map[string]any: // TOML's array of tables
		all := make([]any, len(list))
		for i := range list {
			all[i] = list[i]
		}
		return all, true
	}
	return nil, false
}

// nameOf names an element of a list in messages: as it is called, or by its place.
func nameOf(element any, i int) string {
	if values, ok := element.(map[string]any); ok {
		if name, ok := values["name"].(string); ok && name != "" {
			return name
		}
	}
	return strconv.Itoa(i)
}

// scalar reports whether raw could be put into dst.
func scalar(dst reflect.Value, raw any) bool {
	switch {
	case dst.Type() == durationType:
		v, ok := duration(raw)
		dst.SetInt(int64(v))
		return ok
	case dst.Type() == sizeType:
		v, ok := size(raw)
		dst.SetInt(int64(v))
		return ok
	case dst.Kind() == reflect.Bool:
		v, ok := boolean(raw)
		dst.SetBool(v)
		return ok
	case dst.Kind() == reflect.Int:
		v, ok := integer(raw)
		dst.SetInt(v)
		return ok
	case dst.Kind() == reflect.Slice:
		v, ok := texts(raw)
		dst.Set(reflect.ValueOf(v))
		return ok
	}
	v, ok := raw.(string)
	dst.SetString(v)
	return ok
}

func duration(raw any) (time.Duration, bool) {
	if n, ok := integer(raw); ok {
		return 0, n == 0 // any other number wants a unit
	}
	text, _ := raw.(string)
	v, err := time.ParseDuration(strings.TrimSpace(text))
	return v, err == nil
}

func size(raw any) (Size, bool) {
	if text, ok := raw.(string); ok {
		return parseSize(text)
	}
	n, ok := integer(raw)
	return Size(n), ok
}

func boolean(raw any) (v, ok bool) {
	if text, isText := raw.(string); isText {
		v, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text)))
		return v, err == nil
	}
	v, ok = raw.(bool)
	return v, ok
}

// integer takes the numbers of all formats, and text from the environment.
func integer(raw any) (int64, bool) {
	switch v := raw.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(min(v, math.MaxInt64)), v <= math.MaxInt64
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// texts takes a list of texts; text from the environment is split at commas.
func texts(raw any) ([]string, bool) {
	if text, ok := raw.(string); ok {
		var list []string
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, true
	}
	elements, ok := raw.([]any)
	list := make([]string, len(elements))
	for i, element := range elements {
		text, isText := element.(string)
		list[i], ok = text, ok && isText
	}
	return list, ok
}
