package js

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// maxSize is what a page has to load: a promise of docs/transports.md.
const maxSize = 8 << 10

func TestClientIsSmall(t *testing.T) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Client); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() > maxSize {
		t.Errorf("client.js is %d bytes gzipped, at most %d", b.Len(), maxSize)
	}
}
