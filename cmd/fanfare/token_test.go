package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// mintWith makes a token by the command line.
func mintWith(t *testing.T, args ...string) string {
	t.Helper()
	out, _, err := run(t, "", append([]string{"token"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// expectLines runs a command and looks for what it must say.
func expectLines(t *testing.T, stdin string, args, want []string) {
	t.Helper()
	out, _, err := run(t, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("%v lacks %q:\n%s", args, text, out)
		}
	}
	if strings.Contains(out, "s3cret") {
		t.Errorf("shows a secret:\n%s", out)
	}
}

func TestTokenExplain(t *testing.T) {
	file := write(t, "a.yaml", "app: {secret: s3cret}\ntokens: {audience: fanfare}")
	token := mintWith(t, "--config", file, "--user", "42\x1b[2J", "--caps",
		`[{"channels":["chat:*"],"match":"wildcard","allow":["sub","pub"],"deny":["hst"]}]`)
	expectLines(t, "", []string{"token", "explain", "--config", file, token}, []string{
		"accepted", "app.secret, HS256", "connection token", `"42\x1b[2J"`, "in 24h", `sub, pub on "chat:*" (wildcard)`, `not hst on "chat:*"`,
	})
	sub := mintWith(t, "mint", "--config", file, "--user", "42", "--channel", "$a", "--allow", "pub", "--expire", "0")
	expectLines(t, sub+"\n", []string{"token", "explain", "--config", file, "-"}, []string{`subscription token for "$a"`, "for ever", `sub, pub on "$a"`})
	expectLines(t, "", []string{"token", "check", "--config", file, sub}, []string{"accepted"})

	other := write(t, "b.yaml", "app: {secret: other}")
	expectLines(t, "", []string{"token", "explain", "--config", other, token}, []string{"refused", "no key"})
	if out, _, err := run(t, "", "token", "check", "--config", other, token); err == nil || strings.Contains(out+err.Error(), "42") {
		t.Errorf("%s, %v", out, err)
	}
	if _, _, err := run(t, "", "token", "check", "--config", write(t, "c.yaml", "app: {secret: s3cret}\ntokens: {audience: another}"), token); err == nil {
		t.Error("accepted for another audience")
	}
}

func TestTokenByKeyFileAndKeySet(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	privateFile := write(t, "private.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	publicFile := write(t, "public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})))
	token := mintWith(t, "--key", privateFile, "--key-id", "k1", "--user", "42")

	named := write(t, "a.yaml", "tokens: {public_keys: ['k1="+publicFile+"']}")
	expectLines(t, "", []string{"token", "explain", "--config", named, token}, []string{"accepted", "public key " + publicFile, "EdDSA", `kid "k1"`})
	if _, _, err := run(t, "", "token", "check", "--config", write(t, "b.yaml", "tokens: {public_keys: ['k2="+publicFile+"']}"), token); err == nil {
		t.Error("accepted by another's kid")
	}

	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k1"}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer server.Close()
	trusting := write(t, "c.yaml", "tokens: {jwks_url: '"+server.URL+"', jwks_trusted_hosts: [127.0.0.1]}")
	expectLines(t, "", []string{"token", "explain", "--config", trusting, token}, []string{"accepted", "key set", `"42"`})
	stranger := mintWith(t, "--key", privateFile, "--key-id", "k3")
	if _, _, err := run(t, "", "token", "check", "--config", trusting, stranger); err == nil || !strings.Contains(err.Error(), "k3") {
		t.Errorf("%v", err)
	}

	for name, bad := range map[string]string{
		"inside":          "tokens: {jwks_url: '" + server.URL + "'}",
		"private key":     "tokens: {public_keys: ['" + privateFile + "']}",
		"PEM as secret":   "tokens: {secret_files: ['" + publicFile + "']}",
		"short secret":    "tokens: {secret_files: ['" + write(t, "short", "s3cret") + "']}",
		"file is missing": "tokens: {public_keys: ['k=nowhere.pem']}",
	} {
		if _, _, err := run(t, "", "token", "check", "--config", write(t, "d.yaml", bad), token); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
