package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Secret is text that is never shown.
type Secret string

// mask stands for a Secret that is set.
const mask = "********"

// String masks the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString masks the secret for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Size is a number of bytes.
type Size int64

// units of sizes, those that are printed first, the larger before the smaller.
var units = []struct {
	name  string
	bytes int64
}{
	{"PiB", 1 << 50},
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"PB", 1e15},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// printed is how many units from the beginning String uses.
const printed = 5

// String is the size in the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range units[:printed] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

// parseSize reads a number of bytes with or without a unit: KiB, MiB, … are
// powers of 1024 and KB, MB, … of 1000 (IEC 80000-13); case does not count.
func parseSize(s string) (Size, bool) {
	number, factor := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if rest := len(number) - len(u.name); rest > 0 && strings.EqualFold(number[rest:], u.name) {
			number, factor = strings.TrimSpace(number[:rest]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if size := n * factor; size/factor == n {
			return Size(size), true
		}
		return 0, false
	}
	f, err := strconv.ParseFloat(number, 64)
	if size := f * float64(factor); err == nil && size > -1e18 && size < 1e18 {
		return Size(size), true
	}
	return 0, false
}
