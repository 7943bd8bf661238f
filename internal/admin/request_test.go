package admin

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestRequestSize(t *testing.T) {
	head := "GET /admin/request HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: */*\r\nAccept-Language: en\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	w := get(newHandler(Config{}, &fakeHub{}), r)
	var reply struct{ Bytes int }
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Bytes != len(head) {
		t.Errorf("%d bytes, want %d", reply.Bytes, len(head))
	}
}
