package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// setting is one field that has a value.
type setting struct {
	key   string // "client.ping_interval"
	index []int  // of the field in its struct, see reflect.Value.FieldByIndex
	field reflect.StructField
}

// settings lists those of a struct in the order of its fields, with what is in
// structs inside.
func settings(t reflect.Type) []setting { return listSettings(t, "", nil) }

func listSettings(t reflect.Type, prefix string, index []int) (list []setting) {
	for f := range t.Fields() {
		at := append(append([]int(nil), index...), f.Index...)
		name, squash := keyOf(f)
		switch {
		case squash:
			list = append(list, listSettings(f.Type, prefix, at)...)
		case f.Type.Kind() == reflect.Struct:
			list = append(list, listSettings(f.Type, prefix+name+".", at)...)
		default:
			list = append(list, setting{prefix + name, at, f})
		}
	}
	return list
}

// keyOf reads the tag koanf; squash says that the fields of an embedded struct
// belong to the one around it.
func keyOf(f reflect.StructField) (name string, squash bool) {
	name, option, _ := strings.Cut(f.Tag.Get("koanf"), ",")
	return name, option == "squash"
}

// EnvPrefix begins the name of every environment variable.
const EnvPrefix = "FANFARE_"

// env is the environment variable of a key.
func env(key string) string { return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }

var (
	durationType   = reflect.TypeFor[time.Duration]()
	sizeType       = reflect.TypeFor[Size]()
	durabilityType = reflect.TypeFor[channel.Durability]()
	recoveryType   = reflect.TypeFor[channel.RecoveryMode]()
	configType     = reflect.TypeFor[Config]()
)

// kind says what a value of a type looks like, for messages and the page.
func kind(t reflect.Type) string {
	switch t {
	case durationType:
		return "a duration such as 500ms, 30s or 168h"
	case sizeType:
		return "a size such as 65536, 64KiB or 1MB"
	case durabilityType:
		return "disk or memory"
	case recoveryType:
		return "stream or cache"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct:
		return "a group of settings"
	default:
		return "text"
	}
}

// allowed is what a field may be: its range or choice, or else its kind.
func allowed(f reflect.StructField) string {
	allow := f.Tag.Get("allow")
	if low, high, ok := strings.Cut(allow, ".."); ok {
		return low + " to " + high
	}
	if allow != "" {
		choices := strings.Split(allow, "|")
		return strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
	}
	return kind(f.Type)
}
