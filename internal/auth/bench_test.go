package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

// BenchmarkConnection is what a connection token costs by its algorithm.
func BenchmarkConnection(b *testing.B) {
	const secret = "benchmark-secret"
	token := Token{User: "ann", ExpireAt: time.Now().Add(time.Hour)}
	judge := func(name string, cfg Config, text string, err error) {
		if err != nil {
			b.Fatal(err)
		}
		v := New(cfg)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Connection(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	text, err := Mint(secret, token)
	judge("HS256", Config{Secret: secret}, text, err)
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range []crypto.Signer{es, rs} {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			b.Fatal(err)
		}
		signer, err := NewSigner("", "", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if err != nil {
			b.Fatal(err)
		}
		public, err := PublicKey("", "benchmark", k.Public())
		if err != nil {
			b.Fatal(err)
		}
		text, err := signer.Mint(token)
		judge(signer.alg, Config{Keys: []Key{public}}, text, err)
	}
}
