package api

import (
	"crypto/sha256"
	"reflect"
	"testing"
)

// A key is kept as its digest alone, so that there is nothing a comparison could
// stop early at: how much of a guess is right cannot be told by the time it takes.
func TestKeyIsKeptAsItsDigest(t *testing.T) {
	kind := reflect.TypeFor[key]()
	for f := range kind.Fields() {
		if f.Type != reflect.TypeFor[[sha256.Size]byte]() && f.Type.Kind() != reflect.Bool {
			t.Errorf("%s is a %s", f.Name, f.Type)
		}
	}
	k := newKey("the key")
	for _, guess := range []string{"", "t", "the ke", "the key ", "the kez", "THE KEY"} {
		if k.checkGiven(guess, "") == nil {
			t.Errorf("%q is taken", guess)
		}
	}
	if f := k.checkGiven("the key", ""); f != nil {
		t.Error(f)
	}
}
