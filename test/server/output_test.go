package server

import (
	"strings"
	"testing"
)

func TestAddressIsFoundInTheLog(t *testing.T) {
	tests := []struct {
		name   string
		chunks []string
		want   string
	}{
		{"text", []string{"time=… level=INFO msg=listening addr=127.0.0.1:4711 dev=true\n"}, "127.0.0.1:4711"},
		{"JSON", []string{`{"level":"INFO","msg":"listening","addr":"127.0.0.1:4711","dev":false}` + "\n"}, "127.0.0.1:4711"},
		{"in pieces", []string{"msg=liste", "ning addr=127.0.", "0.1:47", "11\n"}, "127.0.0.1:4711"},
		{"the line is not whole", []string{"msg=listening addr=127.0.0.1:47"}, ""},
		{"another line", []string{"msg=connected addr=127.0.0.1:4711\n"}, ""},
		{"after other lines", []string{"msg=opening\nmsg=listening addr=127.0.0.1:1\nmsg=x\n"}, "127.0.0.1:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOutput()
			for _, chunk := range tt.chunks {
				if n, err := o.Write([]byte(chunk)); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
			got := ""
			select {
			case got = <-o.address:
			default:
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := newOutput()
	_, _ = o.Write([]byte("first\n"))
	for range 1000 {
		_, _ = o.Write([]byte(strings.Repeat("x", 4<<10)))
	}
	_, _ = o.Write([]byte("last\n"))
	text := o.String()
	if len(text) > maxOutput || !strings.HasPrefix(text, "first\n") || !strings.HasSuffix(text, "last\n") {
		t.Errorf("%d bytes, want at most %d from the first to the last", len(text), maxOutput)
	}
}
