package channel

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckName(t *testing.T) {
	tests := []struct {
		name string
		want string // part of the error; "": a good name
	}{
		{"a", ""},
		{"chat:room-1", ""},
		{"$chat:room", ""},
		{"with space and é 漢字 🎺", ""},
		{"a:b:c", ""},
		{":", ""},
		{strings.Repeat("x", MaxNameLength), ""},
		{strings.Repeat("é", MaxNameLength/2), ""},
		{"\u0085", ""}, // a control character of Latin-1, harmless in JSON and logs
		{"", "empty"},
		{strings.Repeat("x", MaxNameLength+1), "256 bytes, at most 255"},
		{strings.Repeat("é", MaxNameLength/2+1), "256 bytes"},
		{"a\xff", "not UTF-8"},
		{"a\xed\xa0\x80", "not UTF-8"}, // half of a surrogate pair
		{"a\nb", "control character U+000A"},
		{"\x00", "U+0000"},
		{"a\x1f", "U+001F"},
		{"a\x7f", "U+007F"},
	}
	for _, tt := range tests {
		err := CheckName(tt.name)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%.20q: %v", tt.name, err)
		case tt.want != "" && (!errors.Is(err, ErrBadName) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.20q: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestPartsOfNames(t *testing.T) {
	tests := []struct {
		name, namespace, rest string
		private               bool
	}{
		{"room", "", "room", false},
		{"chat:room", "chat", "room", false},
		{"chat:a:b", "chat", "a:b", false},
		{"$chat:room", "chat", "room", true},
		{"$room", "", "room", true},
		{":room", "", "room", false},
		{"$:room", "", "room", true},
		{"chat:", "chat", "", false},
		{"chat:$room", "chat", "$room", false},
		{"$$room", "", "$room", true},
		{"$", "", "", true},
	}
	for _, tt := range tests {
		if got := NamespaceOf(tt.name); got != tt.namespace {
			t.Errorf("the namespace of %q is %q, want %q", tt.name, got, tt.namespace)
		}
		if got := restOf(tt.name); got != tt.rest {
			t.Errorf("the rest of %q is %q, want %q", tt.name, got, tt.rest)
		}
		if got := IsPrivate(tt.name); got != tt.private {
			t.Errorf("%q is private: %t", tt.name, got)
		}
	}
}

func TestIDs(t *testing.T) {
	if got := (ID{App: "app", Name: "a:b"}).String(); got != "app/a:b" {
		t.Errorf("%q", got)
	}
}

// FuzzName: a name that is accepted is short, whole and printable, resolves to
// one namespace, and a defined namespace is all that counts.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"", "a", "chat:room", "$chat:1", "a\xff", "digits:x", "digits:12", "*:x", "\x00", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	n, err := NewNamespaces(Options{}, []Namespace{
		{Name: "chat", Options: Options{AllowSubscribeForClient: true}},
		{Name: "digits", Options: Options{ChannelRegex: `^\d+$`}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		bad := CheckName(name)
		if bad == nil && (name == "" || len(name) > MaxNameLength || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\n\r\x7f")) {
			t.Errorf("%q is accepted", name)
		}
		o, err := n.Resolve(name)
		ns := NamespaceOf(name)
		switch {
		case (o == nil) == (err == nil):
			t.Errorf("%q: %v with %v", name, o, err)
		case bad != nil && !errors.Is(err, ErrBadName):
			t.Errorf("%q: %v, want %v", name, err, bad)
		case bad == nil && ns != "" && ns != "chat" && ns != "digits" && !errors.Is(err, ErrUnknownNamespace):
			t.Errorf("%q: %v, but no namespace %q is defined", name, err, ns)
		case err == nil && o.AllowSubscribeForClient != (ns == "chat"):
			t.Errorf("%q has the options of another namespace", name)
		case bad == nil && ns == "chat" && err != nil:
			t.Errorf("%q: %v", name, err)
		}
	})
}
