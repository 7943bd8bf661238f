package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

const secret = "a secret for tests"

// now is the time in all tests.
var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func verifier() *Verifier { return New(Config{Secret: secret, Now: func() time.Time { return now }}) }

// sign makes a token by hand, as RFC 7515 says, so that tests do not trust the
// library with both ends.
func sign(header, claims, key string, newHash func() hash.Hash) string {
	encode := base64.RawURLEncoding.EncodeToString
	body := encode([]byte(header)) + "." + encode([]byte(claims))
	mac := hmac.New(newHash, []byte(key))
	mac.Write([]byte(body))
	return body + "." + encode(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func token(claims string) string { return sign(hs256, claims, secret, sha256.New) }

func TestTokenForOneSession(t *testing.T) {
	grant, err := verifier().Subscription(token(`{"sub":"42","channel":"c","client":"x"}`))
	if err != nil || grant.Client != "x" {
		t.Errorf("%+v, %v", grant, err)
	}
	if _, err := verifier().Connection(token(`{"sub":"42","client":"x"}`)); !errors.Is(err, channel.ErrTokenInvalid) {
		t.Errorf("a connection token for one session: %v", err)
	}
}

func TestConnection(t *testing.T) {
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	tests := []struct {
		name, claims string
		want         channel.Identity
	}{
		{"user", `{"sub":"42"}`, channel.Identity{User: "42"}},
		{"anonymous", `{}`, channel.Identity{}},
		{"expires", fmt.Sprintf(`{"sub":"42","exp":%d}`, in(time.Hour)), channel.Identity{User: "42", ExpireAt: now.Add(time.Hour)}},
		{"issued later than now", fmt.Sprintf(`{"sub":"42","iat":%d}`, in(time.Hour)), channel.Identity{User: "42"}},
		{"valid since", fmt.Sprintf(`{"sub":"42","nbf":%d}`, in(-time.Second)), channel.Identity{User: "42"}},
		{"info", `{"sub":"42","info":{ "name" : "Ann",` + "\n" + `"n":1}}`, channel.Identity{User: "42", Info: []byte(`{"name":"Ann","n":1}`)}},
		{"no info", `{"sub":"42","info":null}`, channel.Identity{User: "42"}},
		{"info in base64", `{"sub":"42","b64info":"eyJuIjogMX0="}`, channel.Identity{User: "42", Info: []byte(`{"n":1}`)}},
		{"bytes in base64", `{"sub":"42","b64info":"/wA="}`, channel.Identity{User: "42", Info: []byte(`"/wA="`)}},
		{"claims of others", `{"sub":"42","iss":"x","aud":["y"],"jti":"z","more":{}}`, channel.Identity{User: "42"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := verifier().Connection(token(tt.claims))
			if err != nil {
				t.Fatal(err)
			}
			if got.App != channel.DefaultApp || got.User != tt.want.User || !bytes.Equal(got.Info, tt.want.Info) ||
				!got.ExpireAt.Equal(tt.want.ExpireAt) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSubscription(t *testing.T) {
	got, err := verifier().Subscription(token(fmt.Sprintf(`{"sub":"42","channel":"$chat:1","info":{"a": 1},"exp":%d}`, now.Unix()+60)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Channel != "$chat:1" || got.User != "42" || string(got.Info) != `{"a":1}` || !got.ExpireAt.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestBadTokens(t *testing.T) {
	good := token(`{"sub":"42","channel":"c"}`)
	parts := strings.Split(good, ".")
	exp := func(rest string) string {
		return fmt.Sprintf(`{"sub":"42","channel":"c","exp":%d%s}`, now.Unix()-1, rest)
	}
	tests := []struct {
		name, token string
		want        error
	}{
		{"empty", "", channel.ErrTokenInvalid},
		{"nonsense", "abc", channel.ErrTokenInvalid},
		{"two parts", parts[0] + "." + parts[1], channel.ErrTokenInvalid},
		{"four parts", good + ".x", channel.ErrTokenInvalid},
		{"no signature", parts[0] + "." + parts[1] + ".", channel.ErrTokenInvalid},
		{"signature cut off", good[:len(good)-2], channel.ErrTokenInvalid},
		{"signature of another", parts[0] + "." + strings.Split(token(`{"sub":"1","channel":"c"}`), ".")[1] + "." + parts[2], channel.ErrTokenInvalid},
		{"another secret", sign(hs256, `{"sub":"42","channel":"c"}`, "other", sha256.New), channel.ErrTokenInvalid},
		{"empty secret", sign(hs256, `{"sub":"42","channel":"c"}`, "", sha256.New), channel.ErrTokenInvalid},
		{"none", sign(`{"alg":"none"}`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"none without signature", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", channel.ErrTokenInvalid},
		{"nOnE", sign(`{"alg":"nOnE"}`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"HS512 by the wrong hash", sign(`{"alg":"HS512"}`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"RS256 with our key", sign(`{"alg":"RS256"}`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"no algorithm", sign(`{}`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"header is no JSON", sign(`HS256`, `{"sub":"42","channel":"c"}`, secret, sha256.New), channel.ErrTokenInvalid},
		{"claims are no JSON", token(`sub`), channel.ErrTokenInvalid},
		{"claims are an array", token(`[]`), channel.ErrTokenInvalid},
		{"user is a number", token(`{"sub":42,"channel":"c"}`), channel.ErrTokenInvalid},
		{"user too long", token(`{"sub":"` + strings.Repeat("u", MaxUser+1) + `","channel":"c"}`), channel.ErrTokenInvalid},
		{"token too long", token(`{"sub":"42","channel":"c","info":"` + strings.Repeat("i", MaxToken) + `"}`), channel.ErrTokenInvalid},
		{"not valid yet", token(fmt.Sprintf(`{"sub":"42","channel":"c","nbf":%d}`, now.Unix()+1)), channel.ErrTokenInvalid},
		{"expiry is text", token(`{"sub":"42","channel":"c","exp":"soon"}`), channel.ErrTokenInvalid},
		{"expiry out of range", token(`{"sub":"42","channel":"c","exp":99999999999999}`), channel.ErrTokenInvalid},
		{"info is not UTF-8", token("{\"sub\":\"42\",\"channel\":\"c\",\"info\":\"\xff\"}"), channel.ErrTokenInvalid},
		{"b64info is no base64", token(`{"sub":"42","channel":"c","b64info":"%"}`), channel.ErrTokenInvalid},

		{"expired", token(exp("")), channel.ErrTokenExpired},
		{"expired now", token(fmt.Sprintf(`{"sub":"42","channel":"c","exp":%d}`, now.Unix())), channel.ErrTokenExpired},
		{"expired and of another secret", sign(hs256, exp(""), "other", sha256.New), channel.ErrTokenInvalid},
		{"expired before it was valid", token(exp(fmt.Sprintf(`,"nbf":%d`, now.Unix()+1))), channel.ErrTokenInvalid},
		{"expired and for one client", token(exp(`,"client":"x"`)), channel.ErrTokenExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if grant, err := verifier().Subscription(tt.token); !errors.Is(err, tt.want) || grant != nil {
				t.Errorf("%v, %v, want %v", grant, err, tt.want)
			}
		})
	}
	if _, err := verifier().Subscription(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestKindsAreNotMixed(t *testing.T) {
	if _, err := verifier().Connection(token(`{"sub":"42","channel":"c"}`)); !errors.Is(err, channel.ErrTokenInvalid) {
		t.Errorf("a subscription token connects: %v", err)
	}
	if _, err := verifier().Subscription(token(`{"sub":"42"}`)); !errors.Is(err, channel.ErrTokenInvalid) {
		t.Errorf("a connection token subscribes: %v", err)
	}
}

func TestNoSecretRefusesEverything(t *testing.T) {
	v := New(Config{Now: func() time.Time { return now }})
	for _, key := range []string{"", secret} {
		if _, err := v.Connection(sign(hs256, `{"sub":"42"}`, key, sha256.New)); !errors.Is(err, channel.ErrTokenInvalid) {
			t.Errorf("signed with %q: %v", key, err)
		}
	}
}

func TestMint(t *testing.T) {
	connection, err := Mint(secret, Token{User: "42", Info: []byte(`{"name": "Ann"}`), IssuedAt: now, ExpireAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	id, err := verifier().Connection(connection)
	if err != nil || id.User != "42" || string(id.Info) != `{"name":"Ann"}` || !id.ExpireAt.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v, %v", id, err)
	}
	subscription, err := Mint(secret, Token{User: "42", Channel: "$chat:1"})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := verifier().Subscription(subscription)
	if err != nil || grant.Channel != "$chat:1" || grant.User != "42" || !grant.ExpireAt.IsZero() {
		t.Errorf("%+v, %v", grant, err)
	}
}

func TestMintRefusesWhatNobodyAccepts(t *testing.T) {
	tests := []struct {
		name, secret string
		token        Token
	}{
		{"no secret", "", Token{User: "42"}},
		{"info is no JSON", secret, Token{Info: []byte("{")}},
		{"user too long", secret, Token{User: strings.Repeat("u", MaxUser+1)}},
		{"bad channel", secret, Token{Channel: "a\nb"}},
		{"too long", secret, Token{Info: []byte(`"` + strings.Repeat("i", MaxToken) + `"`)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Mint(tt.secret, tt.token); err == nil {
				t.Errorf("made %s", got)
			}
		})
	}
}

// What gets through is signed with the secret, in bounds and fit for the wire.
func FuzzConnection(f *testing.F) {
	f.Add(hs256, `{"sub":"42"}`, true)
	f.Add(hs256, `{"sub":"42","exp":1e300,"nbf":-1e300}`, true)
	f.Add(hs256, `{"info":{"a":[1,"`+"\u2028"+`"]},"b64info":"AA=="}`, true)
	f.Add(`{"alg":"none"}`, `{"sub":"42"}`, true)
	f.Add(hs256, `{"sub":"42"}`, false)
	v := verifier()
	f.Fuzz(func(t *testing.T, header, claims string, ours bool) {
		key := secret
		if !ours {
			key = "another"
		}
		id, err := v.Connection(sign(header, claims, key, sha256.New))
		if err != nil {
			if !errors.Is(err, channel.ErrTokenInvalid) && !errors.Is(err, channel.ErrTokenExpired) {
				t.Errorf("an error of its own: %v", err)
			}
			return
		}
		if !ours {
			t.Errorf("a foreign signature: %+v", id)
		}
		if len(id.User) > MaxUser || strings.ContainsAny(string(id.Info), "\n\r") {
			t.Errorf("out of bounds: %+v", id)
		}
		if !id.ExpireAt.IsZero() && (!id.ExpireAt.After(now) || id.ExpireAt.After(lastExpiry)) {
			t.Errorf("expires %s", id.ExpireAt)
		}
	})
}
