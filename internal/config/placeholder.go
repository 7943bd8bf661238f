package config

import (
	"slices"
	"strings"
	"unicode"
)

// placeholders are what documentation and examples put where a secret belongs,
// letters and digits alone, in small letters.
var placeholders = []string{
	"changeme", "changethis", "changeit", "changemeplease", "pleasechangeme", "replaceme", "replacethis", "fillme", "fillmein",
	"setme", "insertsecrethere", "placeholder", "todo", "tbd", "yoursecret", "yourkey", "yourapikey", "yoursecrethere",
	"yourkeyhere", "yoursecretkey", "yourappsecret", "mysecretkeyhere", "secrethere", "keyhere", "xxx", "xxxx", "xxxxxxxx",
}

// templates begin and end what a deployment tool should have filled in.
var templates = [][2]string{{"<", ">"}, {"${", "}"}, {"{{", "}}"}, {"%", "%"}, {"__", "__"}}

// IsPlaceholder reports that a secret is the text of an example, a mark such as
// "…" or the mask of config print, or a template that nobody has filled in.
func IsPlaceholder(s Secret) bool {
	text := strings.TrimSpace(string(s))
	if text == "" {
		return s != ""
	}
	for _, t := range templates {
		if len(text) > len(t[0])+len(t[1]) && strings.HasPrefix(text, t[0]) && strings.HasSuffix(text, t[1]) {
			return true
		}
	}
	bare := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, text)
	return bare == "" || slices.Contains(placeholders, bare)
}
