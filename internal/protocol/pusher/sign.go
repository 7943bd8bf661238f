package pusher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Sign is the signature of text: HMAC-SHA256 in lower-case hexadecimal.
func Sign(secret, text string) string {
	return hex.EncodeToString(mac(secret, text))
}

func mac(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Signed reports whether signature is that of text, in a time that does not tell
// how much of it is right. Nothing is signed with an empty secret.
func Signed(secret, text, signature string) bool {
	got, err := hex.DecodeString(signature)
	return err == nil && secret != "" && hmac.Equal(got, mac(secret, text))
}

// authorized checks auth, KEY:SIGNATURE, against the text that it has to sign.
func (p *Protocol) authorized(auth, text string) bool {
	key, signature, ok := strings.Cut(auth, ":")
	return ok && key == p.cfg.Key && key != "" && Signed(p.cfg.Secret, text, signature)
}
