package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

const longSecret = "a secret that is long enough: 32 bytes"

// pair is a private key in PEM and the Key that verifies by it.
type pair struct {
	private, public []byte
	key             Key
}

func newPair(t *testing.T, id string, private crypto.Signer) pair {
	t.Helper()
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	k, err := PublicKey(id, "test "+id, private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), k,
	}
}

// pairs are keys of each kind.
func pairs(t *testing.T) map[string]pair {
	t.Helper()
	made := map[string]pair{}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	made["rsa"] = newPair(t, "rsa", long)
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made[name] = newPair(t, name, private)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made["ed"] = newPair(t, "ed", ed)
	return made
}

func (p *pair) mint(t *testing.T, id, alg string, token Token) string {
	t.Helper()
	s, err := NewSigner(id, alg, p.private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Mint(token)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func clock() time.Time { return now }

func keysOf(m map[string]pair) (list []Key) {
	for _, p := range m {
		list = append(list, p.key)
	}
	return list
}

// Every algorithm verifies by the key of its kind, with and without kid, and by
// no other.
func TestEveryAlgorithm(t *testing.T) {
	made := pairs(t)
	v := New(Config{Secret: secret, Keys: keysOf(made), Now: clock})
	for name, p := range made {
		for _, alg := range p.key.Algorithms() {
			for _, kid := range []string{name, ""} {
				token := p.mint(t, kid, alg, Token{User: "42"})
				if id, err := v.Connection(token); err != nil || id.User != "42" {
					t.Errorf("%s, kid %q: %v", alg, kid, err)
				}
				if e := v.Explain(token); e.Key == nil || e.Key.Source != "test "+name || e.Algorithm != alg || e.KeyID != kid {
					t.Errorf("%s: %+v", alg, e)
				}
			}
			if _, err := v.Connection(p.mint(t, "another", alg, Token{})); !errors.Is(err, channel.ErrTokenInvalid) {
				t.Errorf("%s by another's kid: %v", alg, err)
			}
			for other, q := range made {
				if other == name {
					continue
				}
				alone := New(Config{Keys: []Key{q.key}, Now: clock})
				if _, err := alone.Connection(p.mint(t, "", alg, Token{})); !errors.Is(err, channel.ErrTokenInvalid) {
					t.Errorf("%s verified by %s: %v", alg, other, err)
				}
			}
		}
	}
}

// jose makes a token with any header over any bytes by any signature.
func jose(header, claims string, signature []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode(signature)
}

// Forgeries that have worked somewhere. The verifier holds a key of every kind.
func TestForgeries(t *testing.T) {
	made := pairs(t)
	v := New(Config{Secret: secret, Keys: keysOf(made), Now: clock})
	rsaPair, curve := made["rsa"], made["p256"]
	claims := `{"sub":"admin"}`
	der, _ := pem.Decode(rsaPair.public)
	good := rsaPair.mint(t, "rsa", "RS256", Token{User: "42"})
	parts := strings.Split(good, ".")
	reheaded := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + parts[2]
	}
	tests := map[string]string{
		"public key as a secret":            sign(`{"alg":"HS256"}`, claims, string(rsaPair.public), sha256.New),
		"public key as a secret, with kid":  sign(`{"alg":"HS256","kid":"rsa"}`, claims, string(rsaPair.public), sha256.New),
		"public key as a secret, stripped":  sign(`{"alg":"HS256"}`, claims, strings.TrimSpace(string(rsaPair.public)), sha256.New),
		"public key as a secret, DER":       sign(`{"alg":"HS256","kid":"rsa"}`, claims, string(der.Bytes), sha256.New),
		"curve's key as a secret":           sign(`{"alg":"HS256","kid":"p256"}`, claims, string(curve.public), sha256.New),
		"none":                              jose(`{"alg":"none"}`, claims, nil),
		"None":                              jose(`{"alg":"None"}`, claims, nil),
		"NONE with kid":                     jose(`{"alg":"NONE","kid":"rsa"}`, claims, nil),
		"none over a good token":            reheaded(`{"alg":"none"}`),
		"empty algorithm":                   jose(`{"alg":""}`, claims, nil),
		"algorithm is null":                 jose(`{"alg":null}`, claims, nil),
		"algorithm is a list":               jose(`{"alg":["RS256"]}`, claims, nil),
		"algorithm in capitals":             jose(`{"ALG":"RS256"}`, claims, nil),
		"lower case":                        reheaded(`{"alg":"rs256"}`),
		"other hash":                        reheaded(`{"alg":"RS512"}`),
		"PSS in place of PKCS #1":           reheaded(`{"alg":"PS256"}`),
		"key in the header":                 jose(`{"alg":"ES256","jwk":{"kty":"EC"}}`, claims, make([]byte, 64)),
		"key's address in the header":       jose(`{"alg":"RS256","jku":"https://evil.example/keys"}`, claims, make([]byte, 256)),
		"certificate in the header":         jose(`{"alg":"RS256","x5c":["AA"]}`, claims, make([]byte, 256)),
		"zeros on a curve (CVE-2022-21449)": jose(`{"alg":"ES256"}`, claims, make([]byte, 64)),
		"zeros on Ed25519":                  jose(`{"alg":"EdDSA"}`, claims, make([]byte, 64)),
		"zeros by RSA":                      jose(`{"alg":"RS256"}`, claims, make([]byte, 256)),
		"ones by RSA":                       jose(`{"alg":"RS256"}`, claims, bytes.Repeat([]byte{0xff}, 256)),
		"critical extension":                sign(`{"alg":"HS256","crit":["b64"],"b64":false}`, claims, secret, sha256.New),
		"kid of a path":                     sign(`{"alg":"HS256","kid":"../../dev/null"}`, claims, "", sha256.New),
		"kid of SQL":                        sign(`{"alg":"HS256","kid":"x' UNION SELECT 'k"}`, claims, "k", sha256.New),
		"kid is a number":                   sign(`{"alg":"HS256","kid":1}`, claims, secret, sha256.New),
		"empty secret":                      sign(hs256, claims, "", sha256.New),
		"padded":                            good + "=",
		"good with trailing text":           good + "\n",
		"header twice":                      parts[0] + "." + good,
		"JSON form":                         `{"payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"encrypted":                         "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0....",
		"dots":                              "..",
		"many dots":                         strings.Repeat(".", MaxToken),
		"nested header":                     jose(strings.Repeat("[", 12000), claims, nil),
		"bits beyond the signature":         good[:len(good)-1] + "_",
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			if id, err := v.Connection(token); !errors.Is(err, channel.ErrTokenInvalid) {
				t.Errorf("%+v, %v", id, err)
			}
			if e := v.Explain(token); e.Err == nil || e.Key != nil || e.Identity.User != "" {
				t.Errorf("explained: %+v", e)
			}
		})
	}
	if _, err := v.Connection(good); err != nil {
		t.Error(err)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	made := pairs(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  any
		want error
	}{
		"short RSA": {&short.PublicKey, ErrWeakKey}, "exponent 1": {&rsa.PublicKey{N: made["rsa"].key.material.(*rsa.PublicKey).N, E: 1}, ErrWeakKey},
		"small curve": {&p224.PublicKey, ErrKeyKind}, "text": {"x", ErrKeyKind}, "bytes": {[]byte(longSecret), ErrKeyKind},
		"short Ed25519": {ed25519.PublicKey("x"), ErrKeyKind},
	} {
		if _, err := PublicKey("", "", tt.key); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SecretKey("", "", made["rsa"].public); !errors.Is(err, ErrIsPEM) {
		t.Errorf("PEM as secret: %v", err)
	}
	if _, err := SecretKey("", "", []byte(longSecret[:MinSecret-1])); !errors.Is(err, ErrWeakKey) {
		t.Errorf("short secret: %v", err)
	}
	for name, text := range map[string][]byte{"private": made["rsa"].private, "none": []byte("x"), "empty": nil} {
		if _, err := ParsePublicPEM(text); !errors.Is(err, ErrNoPEM) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewSigner("", "ES256", made["rsa"].private); !errors.Is(err, ErrKeyKind) {
		t.Errorf("ES256 by RSA: %v", err)
	}
	if _, err := NewSigner("", "", made["rsa"].public); !errors.Is(err, ErrNoPEM) {
		t.Errorf("sign with a public key: %v", err)
	}
}

func TestParsePublicPEM(t *testing.T) {
	for name, p := range pairs(t) {
		public, err := ParsePublicPEM(p.public)
		if err != nil {
			t.Fatal(err)
		}
		if k, err := PublicKey("", "", public); err != nil || !slices.Equal(k.Algorithms(), p.key.Algorithms()) {
			t.Errorf("%s: %v, %v", name, k.Algorithms(), err)
		}
	}
}

// Old and new keys stand side by side until the old tokens have run out.
func TestRotation(t *testing.T) {
	old, err := SecretKey("2025", "old", []byte(longSecret+"old"))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := SecretKey("2026", "new", []byte(longSecret+"new"))
	if err != nil {
		t.Fatal(err)
	}
	byOld := sign(`{"alg":"HS256","kid":"2025"}`, `{"sub":"42"}`, longSecret+"old", sha256.New)
	byNew := sign(`{"alg":"HS256","kid":"2026"}`, `{"sub":"42"}`, longSecret+"new", sha256.New)
	crossed := sign(`{"alg":"HS256","kid":"2026"}`, `{"sub":"42"}`, longSecret+"old", sha256.New)
	unnamed := sign(hs256, `{"sub":"42"}`, longSecret+"old", sha256.New)
	for _, tt := range []struct {
		name  string
		keys  []Key
		token string
		good  bool
	}{
		{"old by both", []Key{old, fresh}, byOld, true},
		{"new by both", []Key{old, fresh}, byNew, true},
		{"unnamed by both", []Key{fresh, old}, unnamed, true},
		{"old once it is gone", []Key{fresh}, byOld, false},
		{"unnamed once it is gone", []Key{fresh}, unnamed, false},
		{"by another's name", []Key{old, fresh}, crossed, false},
		{"previous secret, any kid", []Key{AppSecret("previous", []byte(longSecret+"old"))}, byOld, true},
	} {
		if _, err := New(Config{Keys: tt.keys, Now: clock}).Connection(tt.token); (err == nil) != tt.good {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// source is a Source of fixed answers.
type source struct {
	keys  []Key
	err   error
	asked int
}

func (s *source) Find(string, string) ([]Key, error) {
	s.asked++
	return s.keys, s.err
}

func TestSource(t *testing.T) {
	made := pairs(t)
	ed := made["ed"]
	token := ed.mint(t, "ed", "", Token{User: "42"})
	if _, err := New(Config{Source: &source{err: channel.ErrTokenKeys}, Now: clock}).Connection(token); !errors.Is(err, channel.ErrTokenKeys) {
		t.Error(err)
	}
	if id, err := New(Config{Source: &source{keys: keysOf(made)}, Now: clock}).Connection(token); err != nil || id.User != "42" {
		t.Error(err)
	}
	if _, err := New(Config{Source: &source{}, Now: clock}).Connection(token); !errors.Is(err, channel.ErrTokenInvalid) {
		t.Error(err)
	}
	s := &source{keys: keysOf(made)}
	v := New(Config{Secret: secret, Keys: []Key{ed.key}, Source: s, Now: clock})
	forged := token[:len(token)-8] + "AAAAAAAA"
	for _, known := range []string{token, forged, sign(hs256, `{}`, secret, sha256.New), sign(hs256, `{}`, "other", sha256.New)} {
		_, _ = v.Connection(known)
	}
	if s.asked != 0 {
		t.Errorf("the source was asked %d times for what it need not know", s.asked)
	}
}

func TestAudienceIssuerUserLeeway(t *testing.T) {
	exp := func(d time.Duration) string { return fmt.Sprintf(`"exp":%d`, now.Add(d).Unix()) }
	strict := Config{Secret: secret, Audience: "fanfare", Issuer: "https://id.example", UserClaim: "uid", Leeway: 5 * time.Second, Now: clock}
	both := `"aud":["x","fanfare"],"iss":"https://id.example"`
	tests := []struct {
		name, claims string
		want         error
	}{
		{"all", `{"uid":"42",` + both + `}`, nil},
		{"audience is text", `{"uid":"42","aud":"fanfare","iss":"https://id.example"}`, nil},
		{"anonymous", `{"uid":"",` + both + `}`, nil},
		{"no audience", `{"uid":"42","iss":"https://id.example"}`, channel.ErrTokenInvalid},
		{"another audience", `{"uid":"42","aud":["x"],"iss":"https://id.example"}`, channel.ErrTokenInvalid},
		{"no issuer", `{"uid":"42","aud":"fanfare"}`, channel.ErrTokenInvalid},
		{"another issuer", `{"uid":"42","aud":"fanfare","iss":"https://id.example/"}`, channel.ErrTokenInvalid},
		{"no user claim", `{"sub":"42",` + both + `}`, channel.ErrTokenInvalid},
		{"user is a number", `{"uid":42,` + both + `}`, channel.ErrTokenInvalid},
		{"user is null", `{"uid":null,` + both + `}`, channel.ErrTokenInvalid},
		{"user too long", `{"uid":"` + strings.Repeat("u", MaxUser+1) + `",` + both + `}`, channel.ErrTokenInvalid},
		{"expired within the leeway", `{"uid":"42",` + both + `,` + exp(-4*time.Second) + `}`, nil},
		{"expired", `{"uid":"42",` + both + `,` + exp(-5*time.Second) + `}`, channel.ErrTokenExpired},
		{"expired, another audience", `{"uid":"42","aud":"x","iss":"https://id.example",` + exp(-time.Hour) + `}`, channel.ErrTokenInvalid},
		{"expired, another issuer", `{"uid":"42","aud":"fanfare","iss":"x",` + exp(-time.Hour) + `}`, channel.ErrTokenInvalid},
		{"valid soon", fmt.Sprintf(`{"uid":"42",%s,"nbf":%d}`, both, now.Unix()+5), nil},
		{"valid later", fmt.Sprintf(`{"uid":"42",%s,"nbf":%d}`, both, now.Unix()+6), channel.ErrTokenInvalid},
	}
	for _, tt := range tests {
		id, err := New(strict).Connection(token(tt.claims))
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && tt.name != "anonymous" && id.User != "42" {
			t.Errorf("%s: user %q", tt.name, id.User)
		}
		if err == nil && !id.ExpireAt.IsZero() && !id.ExpireAt.After(now) {
			t.Errorf("%s: accepted and over at %s", tt.name, id.ExpireAt)
		}
	}
}

func TestCaps(t *testing.T) {
	const all = channel.Subscribe | channel.Publish | channel.Presence | channel.History
	got, err := verifier().Connection(token(`{"sub":"42","caps":[
		{"channels":["news","user_42"],"allow":["sub"]},
		{"channels":["chat:*"],"match":"wildcard","allow":["sub","pub","prs","hst"],"deny":["pub"]},
		{"channels":["admin:"],"match":"prefix","deny":["sub","pub","prs","hst"]},
		{"channels":["nothing"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := channel.Grants{
		Deny: []channel.Grant{
			{Channel: "chat:*", Ops: channel.Publish, Match: channel.Wildcard}, {Channel: "admin:", Ops: all, Match: channel.Prefix},
		},
		Allow: []channel.Grant{
			{Channel: "news", Ops: channel.Subscribe},
			{Channel: "user_42", Ops: channel.Subscribe},
			{Channel: "chat:*", Ops: all, Match: channel.Wildcard},
			{Channel: "nothing"},
		},
	}
	if !slices.Equal(got.Grants.Deny, want.Deny) || !slices.Equal(got.Grants.Allow, want.Allow) {
		t.Errorf("%+v", got.Grants)
	}
	minted, err := Mint(secret, Token{User: "42", Grants: want})
	if err != nil {
		t.Fatal(err)
	}
	again, err := verifier().Connection(minted)
	if err != nil || !slices.Equal(again.Grants.Deny, want.Deny) || !slices.Equal(again.Grants.Allow, want.Allow) {
		t.Errorf("%+v, %v", again, err)
	}
	grant, err := verifier().Subscription(token(`{"channel":"c","allow":["pub","hst"]}`))
	if err != nil || grant.Ops != channel.Publish|channel.History {
		t.Errorf("%+v, %v", grant, err)
	}
}

func TestBadCaps(t *testing.T) {
	many, err := json.Marshal(slices.Repeat([]string{"c"}, MaxGrants+1))
	if err != nil {
		t.Fatal(err)
	}
	for name, claims := range map[string]string{
		"regex":              `{"caps":[{"channels":["^a$"],"match":"regex","allow":["sub"]}]}`,
		"unknown capability": `{"caps":[{"channels":["a"],"deny":["publish"]}]}`,
		"unknown field":      `{"caps":[{"channels":["a"],"denied":["pub"],"allow":["sub"]}]}`,
		"no list":            `{"caps":{"channels":["a"]}}`,
		"empty channel":      `{"caps":[{"channels":[""],"match":"prefix","allow":["sub"]}]}`,
		"too many":           `{"caps":[{"channels":` + string(many) + `,"allow":["sub"]}]}`,
		"of a subscription":  `{"allow":["pub"]}`,
	} {
		if id, err := verifier().Connection(token(claims)); !errors.Is(err, channel.ErrTokenInvalid) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	for _, claims := range []string{`{"channel":"c","allow":["all"]}`, `{"channel":"c","caps":[{"channels":["a"],"allow":["sub"]}]}`} {
		if g, err := verifier().Subscription(token(claims)); !errors.Is(err, channel.ErrTokenInvalid) {
			t.Errorf("%s: %+v, %v", claims, g, err)
		}
	}
}

func TestExplain(t *testing.T) {
	v := verifier()
	e := v.Explain(token(fmt.Sprintf(`{"sub":"42","iss":"x","exp":%d,"iat":%d,"nbf":%d}`, now.Unix()-60, now.Unix()-90, now.Unix()-80)))
	if !errors.Is(e.Err, channel.ErrTokenExpired) || e.Identity.User != "42" || e.Key.Source != "app.secret" || e.Issuer != "x" ||
		!e.IssuedAt.Equal(now.Add(-90*time.Second)) || !e.NotBefore.Equal(now.Add(-80*time.Second)) {
		t.Errorf("%+v", e)
	}
	if e := v.Explain(token(`{"sub":"42","channel":"c"}`)); e.Err != nil || e.Grant == nil || e.Grant.Channel != "c" {
		t.Errorf("%+v", e)
	}
	if e := v.Explain(token(`{"caps":[{"channels":["a"],"match":"regex"}]}`)); e.Err == nil || e.Key == nil {
		t.Errorf("%+v", e)
	}
}

// Whatever stands in a token, only a key that holds its algorithm verifies it.
func FuzzHeader(f *testing.F) {
	for _, header := range []string{hs256, `{"alg":"none"}`, `{"alg":"RS256","kid":"rsa"}`, `{"alg":"HS512","ALG":"HS256"}`, `{"alg":"HS256","crit":[]}`} {
		f.Add(header, `{"sub":"42","caps":[{"channels":["a"],"allow":["sub"]}]}`, true)
	}
	v := verifier()
	f.Fuzz(func(t *testing.T, header, claims string, ours bool) {
		key := secret
		if !ours {
			key = "another"
		}
		e := v.Explain(sign(header, claims, key, sha256.New))
		if e.Key != nil && (!ours || !e.Key.verifies(e.Algorithm)) {
			t.Errorf("%+v", e)
		}
		if e.Key == nil && e.Err == nil {
			t.Error("accepted by no key")
		}
	})
}
