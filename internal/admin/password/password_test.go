package password

import (
	"strings"
	"testing"
)

const good = "correct horse battery"

func TestHash(t *testing.T) {
	h, err := Make(good)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Make(good)
	if err != nil || again.String() == h.String() {
		t.Errorf("two hashes of one password are the same (%v)", err)
	}
	text := h.String()
	if !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(text, good) {
		t.Errorf("the text is %q", text)
	}
	parsed, err := Parse(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]bool{
		good: true, good + " ": false, "": false, good[1:]: false, strings.ToUpper(good): false, strings.Repeat("x", MaxLength+1): false,
	} {
		if got := parsed.Matches(given); got != want {
			t.Errorf("%.30q matches: %v", given, got)
		}
	}
}

// A hash that another program made, with another cost: the PHC reference's own
// test vector has no salt of this kind, so this one is argon2(1)'s.
func TestCostIsTheHashs(t *testing.T) {
	h := Hash{cost: cost{memory: 64, passes: 1, threads: 2}, salt: []byte("somesalt")}
	h.key = h.derive(good, 24)
	parsed, err := Parse(h.String())
	if err != nil || !parsed.Matches(good) || parsed.memory != 64 || parsed.threads != 2 {
		t.Errorf("%+v, %v", parsed, err)
	}
}

func TestLengths(t *testing.T) {
	for _, password := range []string{"", strings.Repeat("x", MinLength-1), strings.Repeat("x", MaxLength+1)} {
		if _, err := Make(password); err == nil {
			t.Errorf("%d bytes are taken", len(password))
		}
	}
}

func TestNoHash(t *testing.T) {
	h, err := Make(good)
	if err != nil {
		t.Fatal(err)
	}
	text := h.String()
	for _, bad := range []string{
		"", good, "$2y$10$abcdefghijklmnopqrstuv", strings.Replace(text, "argon2id", "argon2i", 1), strings.Replace(text, "v=19", "v=16", 1),
		strings.Replace(text, "m=19456", "m=4294967295", 1), strings.Replace(text, "t=2", "t=0", 1), strings.Replace(text, "p=1", "p=0", 1),
		strings.Replace(text, "m=19456", "m=4", 1), strings.Replace(text, "t=2", "t=+2", 1), strings.Replace(text, "t=2", "t=1000", 1),
		text + "$", text[:len(text)-30], strings.Replace(text, ",", ", ", 1), text[1:],
	} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), string(h.salt)) {
			t.Errorf("the error repeats the hash: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	h := Hash{cost: usual, salt: []byte("somesalt"), key: make([]byte, keyLength)}
	f.Add(h.String())
	f.Add("$argon2id$v=19$m=10,t=1,p=1$000000\r00000$00000000000000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse(text)
		if err != nil {
			return
		}
		if parsed.memory > most.memory || parsed.passes > most.passes || parsed.threads > most.threads {
			t.Errorf("%q asks for %+v", text, parsed.cost)
		}
		if again := parsed.String(); again != strings.TrimSpace(text) {
			t.Errorf("%q becomes %q", text, again)
		}
	})
}
