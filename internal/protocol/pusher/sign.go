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

// authorized checks auth, KEY:SIGNATURE, against the text that it has to sign. Any
// key of the client's App will do, so that one can take the place of another.
func (c *client) authorized(auth, text string) bool {
	key, signature, ok := strings.Cut(auth, ":")
	if !ok {
		return false
	}
	app, known := c.p.cfg.Keys.App(key)
	return known && app == c.app && c.p.cfg.Keys.Signed(key, text, signature)
}
