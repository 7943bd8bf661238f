package direct

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

const line = "POST /api/publish HTTP/1.1\r\n"

const plainHead = line + "Host: push.example:8000\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 2\r\nContent-Type: application/json\r\nX-Api-Key: k\r\nAccept-Encoding: gzip\r\n\r\n"

func TestParse(t *testing.T) {
	head := func(fields ...string) string { return line + strings.Join(fields, "\r\n") + "\r\n\r\n" }
	tests := []struct {
		name, in string
		want     verdict
	}{
		{"what Go sends", plainHead + "{}", whole},
		{"any case, no space", head("hOST:h", "CONTENT-LENGTH:0"), whole},
		{"keep-alive", head("Host: h", "Content-Length: 0", "Connection: Keep-Alive"), whole},
		{"IPv6", head("Host: [::1]:80", "Content-Length: 0"), whole},
		{"another follows", head("Host: h", "Content-Length: 0") + "GET", whole},
		{"half a line", "POST /api/pub", partial},
		{"half a header", plainHead[:60], partial},
		{"half a body", plainHead + "{", partial},
		{"a line of bytes without end", line + strings.Repeat("a", 100), partial},

		{"another path", "POST /api/info HTTP/1.1\r\n", foreign},
		{"another path, half", "POST /api/x", foreign},
		{"another verb", "GET /api/publish HTTP/1.1\r\n", foreign},
		{"HTTP/1.0", "POST /api/publish HTTP/1.0\r\n", foreign},
		{"bare line feeds", line + "Host: h\nContent-Length: 0\n\n", foreign},
		{"folded", head("Host: h", "X-A: b", " c", "Content-Length: 0"), foreign},
		{"no name", head("Host: h", ": b", "Content-Length: 0"), foreign},
		{"no colon", head("Host: h", "b", "Content-Length: 0"), foreign},
		{"space before the colon", head("Host: h", "Content-Length : 0"), foreign},
		{"no ASCII in a name", head("Host: h", "X-\xc3\xa4: b", "Content-Length: 0"), foreign},
		{"a parenthesis in a name", head("Host: h", "X(: b", "Content-Length: 0"), foreign},
		{"every sign of a name", head("Host: h", "!#$%&'*+-.^_`|~09azAZ: b", "Content-Length: 0"), whole},
		{"NUL in a value", head("Host: h", "X-A: \x00", "Content-Length: 0"), foreign},
		{"no host", head("Content-Length: 0"), foreign},
		{"two hosts", head("Host: h", "Host: h", "Content-Length: 0"), foreign},
		{"odd host", head("Host: h/x", "Content-Length: 0"), foreign},
		{"no length", head("Host: h"), foreign},
		{"two lengths", head("Host: h", "Content-Length: 0", "Content-Length: 0"), foreign},
		{"lengths in a list", head("Host: h", "Content-Length: 0, 0"), foreign},
		{"signed length", head("Host: h", "Content-Length: +0"), foreign},
		{"hexadecimal length", head("Host: h", "Content-Length: 0x1"), foreign},
		{"large", head("Host: h", "Content-Length: 32769"), foreign},
		{"chunked", head("Host: h", "Transfer-Encoding: chunked"), foreign},
		{"chunked, too", head("Host: h", "Content-Length: 0", "Transfer-Encoding: chunked"), foreign},
		{"expects", head("Host: h", "Content-Length: 0", "Expect: 100-continue"), foreign},
		{"upgrades", head("Host: h", "Content-Length: 0", "Upgrade: websocket"), foreign},
		{"closes", head("Host: h", "Content-Length: 0", "Connection: close"), foreign},
		{"two keys", head("Host: h", "Content-Length: 0", "X-API-Key: a", "X-API-Key: b"), foreign},
		{"encoded", head("Host: h", "Content-Length: 0", "Content-Encoding: gzip"), foreign},
		{"another type", head("Host: h", "Content-Length: 0", "Content-Type: text/plain"), foreign},
		{"wants another form of errors", head("Host: h", "Content-Length: 0", "X-Centrifugo-Error-Mode: transport"), foreign},
		{"long head", line + "X-A: " + strings.Repeat("a", maxHead), foreign},
		{"long head with an end", head("Host: h", "X-A: "+strings.Repeat("a", maxHead)), foreign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Request
			if _, v := r.parse([]byte(tt.in), line); v != tt.want {
				t.Errorf("verdict %d, want %d", v, tt.want)
			}
		})
	}
}

// Whatever is taken for a request is, to net/http, the same request of the same
// length; and more bytes never change what was whole or foreign.
func FuzzParse(f *testing.F) {
	f.Add([]byte(plainHead+"{}"), uint16(40))
	f.Add([]byte(line+"Host: h\r\nContent-Length: 3\r\nAuthorization: apikey k\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		var r Request
		n, v := r.parse(in, line)
		var early Request
		m, before := early.parse(in[:min(int(cut), len(in))], line)
		if before != partial && (before != v || m != n) {
			t.Fatalf("%d of %d bytes were judged %d, all of them %d", cut, len(in), before, v)
		}
		if v != whole {
			return
		}
		rd := bufio.NewReaderSize(bytes.NewReader(in), len(in)+16)
		req, err := http.ReadRequest(rd)
		if err != nil {
			t.Fatalf("net/http says %v", err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || !bytes.Equal(body, r.Body) {
			t.Fatalf("body %q, net/http has %q, %v", r.Body, body, err)
		}
		if rest := rd.Buffered(); len(in)-rest != n {
			t.Fatalf("%d bytes, net/http took %d", n, len(in)-rest)
		}
		if req.Header.Get("X-Api-Key") != string(r.APIKey) || req.Header.Get("Authorization") != string(r.Authorization) || req.Close {
			t.Fatalf("%q, %q; net/http has %v", r.APIKey, r.Authorization, req.Header)
		}
	})
}
