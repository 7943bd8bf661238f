package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Limits of a password, in bytes.
const (
	MinLength = 12
	MaxLength = 1024
)

// cost is what a guess takes: memory in KiB, passes over it, and lanes.
type cost struct {
	memory  uint32
	passes  uint32
	threads uint8
}

// The cost of hashes that are made here: OWASP's first choice for argon2id, some
// 20 ms of one core. The most that a hash may ask for keeps one that was tampered
// with from taking the machine.
var (
	usual = cost{memory: 19 << 10, passes: 2, threads: 1}
	most  = cost{memory: 256 << 10, passes: 16, threads: 16}
)

const (
	saltLength = 16
	keyLength  = 32
)

// Hash is what is left of a password: enough to know it again.
type Hash struct {
	cost

	salt, key []byte
}

// ErrHash says that a text is no hash of this package's kind.
var ErrHash = errors.New("it must be a hash as fanfare admin password prints it, which begins with $argon2id$v=19$")

// Make hashes a password under a salt of its own.
func Make(password string) (Hash, error) {
	if len(password) < MinLength || len(password) > MaxLength {
		return Hash{}, fmt.Errorf("a password has %d to %d bytes, this one has %d", MinLength, MaxLength, len(password))
	}
	h := Hash{cost: usual, salt: make([]byte, saltLength)}
	_, _ = rand.Read(h.salt) // it never fails
	h.key = h.derive(password, keyLength)
	return h, nil
}

func (h *Hash) derive(password string, length int) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(length))
}

// Matches reports whether the hash was made of this password. How long it takes
// does not depend on how much of it is right.
func (h *Hash) Matches(password string) bool {
	if len(password) > MaxLength {
		return false
	}
	return subtle.ConstantTimeCompare(h.derive(password, len(h.key)), h.key) == 1
}

// String is the hash as text: $argon2id$v=19$m=19456,t=2,p=1$salt$key.
func (h *Hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads, b64(h.salt), b64(h.key))
}

// Parse reads what String writes. Its error does not repeat the text.
func Parse(text string) (Hash, error) {
	var h Hash
	text = strings.TrimSpace(text)
	parts := strings.Split(text, "$")
	if strings.ContainsAny(text, "\r\n") || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, ErrHash
	}
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads)
	if err != nil || n != 3 || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.passes, h.threads) {
		return h, ErrHash
	}
	var errSalt, errKey error
	h.salt, errSalt = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, errKey = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if errSalt != nil || errKey != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return h, ErrHash
	}
	if h.memory < 8*uint32(h.threads) || h.threads < 1 || h.passes < 1 ||
		h.memory > most.memory || h.passes > most.passes || h.threads > most.threads {
		return h, fmt.Errorf("its cost %s is not within m=8,t=1,p=1 and m=%d,t=%d,p=%d", parts[3], most.memory, most.passes, most.threads)
	}
	return h, nil
}
