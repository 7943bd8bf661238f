package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Server is an authority. Its own certificate is for one day, those of others for
// sixty, but for the first where Ending is called.
type Server struct {
	http   *httptest.Server
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	target chan string // one value: where hosts are found
	ctx    context.Context
	stop   context.CancelFunc
	busy   sync.WaitGroup

	mu      sync.Mutex
	nonces  map[string]bool
	account *jose.JSONWebKey
	orders  []*order
	fault   error         // of the last proof that was none
	ending  time.Duration // of the first certificate; 0: as of all
}

// order is one certificate on its way.
type order struct {
	host    string
	token   string
	status  string // of order, authorization and challenge in one
	chain   []byte
	thereof int
}

// Start begins to serve at a port of 127.0.0.1; Close ends it.
func Start() (*Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority for tests"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	s := &Server{root: root, key: key, target: make(chan string, 1), nonces: map[string]bool{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = httptest.NewTLSServer(s.routes())
	return s, nil
}

// Close stops serving.
func (s *Server) Close() {
	s.stop()
	s.busy.Wait()
	s.http.Close()
}

// Directory is the URL that a client begins with.
func (s *Server) Directory() string { return s.http.URL + "/directory" }

// PEM is the certificate that the directory itself is verified by.
func (s *Server) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Root has signed every certificate.
func (s *Server) Root() *x509.Certificate { return s.root }

// Find says where hosts are found, host:port, in the place of port 443 and a name
// server. Proofs wait for it. It is called once.
func (s *Server) Find(addr string) { s.target <- addr }

// Ending has the first certificate be an old one, which ends after so long. It is
// called before anything is asked for.
func (s *Server) Ending(left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = left
}

// validityLocked is from when until when the certificate of an order is valid.
func (s *Server) validityLocked(o *order) (notBefore, notAfter time.Time) {
	const whole = 60 * 24 * time.Hour
	notAfter = time.Now().Add(whole - time.Hour)
	if o.thereof == 0 && s.ending > 0 {
		notAfter = time.Now().Add(s.ending)
	}
	return notAfter.Add(-whole), notAfter
}

// Orders is how many certificates were asked for, and why the last proof failed.
func (s *Server) Orders() (n int, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.orders), s.fault
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /directory", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, map[string]string{
			"newNonce": s.http.URL + "/nonce", "newAccount": s.http.URL + "/account", "newOrder": s.http.URL + "/order",
		})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, http.StatusOK, struct{}{}) })
	for path, answer := range map[string]func(w http.ResponseWriter, r *http.Request, payload []byte) error{
		"POST /account": s.newAccount, "POST /order": s.newOrder, "POST /order/{id}": s.showOrder, "POST /authorization/{id}": s.showAuthorization,
		"POST /challenge/{id}": s.prove, "POST /finalize/{id}": s.finalize, "POST /certificate/{id}": s.certificate,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			payload, err := s.openLocked(r)
			if err == nil {
				err = answer(w, r, payload)
			}
			if err != nil {
				s.replyLocked(w, http.StatusBadRequest, map[string]any{"type": "urn:ietf:params:acme:error:malformed", "detail": err.Error()})
			}
		})
	}
	return mux
}

func (s *Server) reply(w http.ResponseWriter, status int, body any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replyLocked(w, status, body)
}

// replyLocked sends a fresh nonce along (RFC 8555, 6.5).
func (s *Server) replyLocked(w http.ResponseWriter, status int, body any) {
	nonce := rand.Text()
	s.nonces[nonce] = true
	w.Header().Set("Replay-Nonce", nonce)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader that has left is not our error
}

// openLocked checks who a request is from, and that it is for here and now (6.4).
func (s *Server) openLocked(r *http.Request) (payload []byte, err error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	signed, err := jose.ParseSignedJSON(string(text), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Protected
	if url, ok := header.ExtraHeaders["url"].(string); !ok || url != s.http.URL+r.URL.Path {
		return nil, errors.New("it is signed for another address")
	}
	if !s.nonces[header.Nonce] {
		return nil, errors.New("the nonce is not known")
	}
	delete(s.nonces, header.Nonce)
	key := s.account
	if r.URL.Path == "/account" {
		key = header.JSONWebKey
		s.account = key
	}
	if key == nil {
		return nil, errors.New("there is no account")
	}
	return signed.Verify(key)
}

func (s *Server) newAccount(w http.ResponseWriter, _ *http.Request, _ []byte) error {
	w.Header().Set("Location", s.http.URL+"/account/1")
	s.replyLocked(w, http.StatusCreated, map[string]string{"status": "valid"})
	return nil
}

func (s *Server) newOrder(w http.ResponseWriter, _ *http.Request, payload []byte) error {
	var asked struct {
		Identifiers []struct{ Type, Value string }
	}
	if err := json.Unmarshal(payload, &asked); err != nil {
		return err
	}
	if len(asked.Identifiers) != 1 || asked.Identifiers[0].Type != "dns" {
		return errors.New("one host is wanted")
	}
	o := &order{host: asked.Identifiers[0].Value, token: rand.Text(), status: "pending", thereof: len(s.orders)}
	s.orders = append(s.orders, o)
	w.Header().Set("Location", s.url("order", o))
	s.replyLocked(w, http.StatusCreated, s.described(o))
	return nil
}

func (s *Server) url(what string, o *order) string {
	return fmt.Sprintf("%s/%s/%d", s.http.URL, what, o.thereof)
}

func (s *Server) described(o *order) map[string]any {
	d := map[string]any{
		"status": o.status, "identifiers": []any{map[string]string{"type": "dns", "value": o.host}},
		"authorizations": []string{s.url("authorization", o)}, "finalize": s.url("finalize", o),
	}
	if o.chain != nil {
		d["certificate"] = s.url("certificate", o)
	}
	return d
}

func (s *Server) find(r *http.Request) (*order, error) {
	for _, o := range s.orders {
		if fmt.Sprint(o.thereof) == r.PathValue("id") {
			return o, nil
		}
	}
	return nil, errors.New("there is no such order")
}

func (s *Server) showOrder(w http.ResponseWriter, r *http.Request, _ []byte) error {
	o, err := s.find(r)
	if err == nil {
		s.replyLocked(w, http.StatusOK, s.described(o))
	}
	return err
}

func (s *Server) challenge(o *order) map[string]string {
	return map[string]string{"type": "tls-alpn-01", "url": s.url("challenge", o), "token": o.token, "status": proved(o.status)}
}

// proved is the status of what leads to an order.
func proved(status string) string {
	if status == "ready" {
		return "valid"
	}
	return status
}

func (s *Server) showAuthorization(w http.ResponseWriter, r *http.Request, _ []byte) error {
	o, err := s.find(r)
	if err == nil {
		s.replyLocked(w, http.StatusOK, map[string]any{
			"status": proved(o.status), "identifier": map[string]string{"type": "dns", "value": o.host}, "challenges": []any{s.challenge(o)},
		})
	}
	return err
}

// prove begins to look whether the host is the client's.
func (s *Server) prove(w http.ResponseWriter, r *http.Request, _ []byte) error {
	o, err := s.find(r)
	if err != nil {
		return err
	}
	thumb, err := s.account.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	want := sha256.Sum256([]byte(o.token + "." + base64.RawURLEncoding.EncodeToString(thumb)))
	s.busy.Go(func() {
		err := s.visit(o.host, want[:])
		s.mu.Lock()
		defer s.mu.Unlock()
		if o.status, s.fault = "ready", err; err != nil {
			o.status = "invalid"
		}
	})
	s.replyLocked(w, http.StatusOK, s.challenge(o))
	return nil
}

// visit makes the handshake that proves (RFC 8737, section 3).
func (s *Server) visit(host string, want []byte) error {
	var addr string
	select {
	case addr = <-s.target:
		s.target <- addr
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	d := tls.Dialer{Config: &tls.Config{ServerName: host, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}}
	c, err := d.DialContext(s.ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	t, ok := c.(*tls.Conn)
	if !ok || t.ConnectionState().NegotiatedProtocol != "acme-tls/1" {
		return errors.New("acme-tls/1 is not spoken")
	}
	proof, err := asn1.Marshal(want)
	if err != nil {
		return err
	}
	shown := t.ConnectionState().PeerCertificates[0]
	if len(shown.DNSNames) != 1 || shown.DNSNames[0] != host {
		return fmt.Errorf("the proof is for %v", shown.DNSNames)
	}
	for _, e := range shown.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && e.Critical && bytes.Equal(e.Value, proof) {
			return nil
		}
	}
	return errors.New("the certificate proves nothing")
}

func (s *Server) finalize(w http.ResponseWriter, r *http.Request, payload []byte) error {
	o, err := s.find(r)
	if err != nil {
		return err
	}
	var asked struct{ CSR string }
	if err := json.Unmarshal(payload, &asked); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(asked.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	if o.status != "ready" || csr.CheckSignature() != nil || len(csr.DNSNames) != 1 || csr.DNSNames[0] != o.host {
		return fmt.Errorf("no certificate for %v in an order that is %s", csr.DNSNames, o.status)
	}
	notBefore, notAfter := s.validityLocked(o)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(o.thereof) + 2), DNSNames: csr.DNSNames, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, s.root, csr.PublicKey, s.key)
	if err != nil {
		return err
	}
	for _, one := range [][]byte{cert, s.root.Raw} {
		o.chain = append(o.chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one})...)
	}
	o.status = "valid"
	w.Header().Set("Location", s.url("order", o))
	s.replyLocked(w, http.StatusOK, s.described(o))
	return nil
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request, _ []byte) error {
	o, err := s.find(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_, err = w.Write(o.chain)
	return err
}
