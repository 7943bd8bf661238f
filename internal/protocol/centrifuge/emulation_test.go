package centrifuge

import (
	"testing"

	"github.com/centrifugal/protocol"
)

func TestDecodeEmulation(t *testing.T) {
	binary, err := (&protocol.EmulationRequest{Session: "s", Node: "n", Data: []byte("\x01\x00")}).MarshalCF()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		decode func([]byte) (Emulated, error)
		body   string
		data   string // "": refused
	}{
		{"JSON", DecodeEmulationJSON, `{"session":"s","node":"n","data":"{\"id\":1}\n{}"}`, "{\"id\":1}\n{}"},
		{"JSON without a session", DecodeEmulationJSON, `{"node":"n","data":"{}"}`, ""},
		{"JSON without data", DecodeEmulationJSON, `{"session":"s","node":"n"}`, ""},
		{"JSON with data that is no string", DecodeEmulationJSON, `{"session":"s","node":"n","data":{"id":1}}`, ""},
		{"no JSON", DecodeEmulationJSON, `session`, ""},
		{"nothing", DecodeEmulationJSON, ``, ""},
		{"Protobuf", DecodeEmulationProtobuf, string(binary), "\x01\x00"},
		{"Protobuf cut short", DecodeEmulationProtobuf, string(binary[:len(binary)-1]), ""},
		{"Protobuf of nothing", DecodeEmulationProtobuf, "", ""},
	}
	for _, tt := range tests {
		got, err := tt.decode([]byte(tt.body))
		if tt.data == "" {
			if err == nil {
				t.Errorf("%s: %+v", tt.name, got)
			}
			continue
		}
		if err != nil || got.Session != "s" || got.Node != "n" || string(got.Data) != tt.data {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func FuzzDecodeEmulation(f *testing.F) {
	f.Add([]byte(`{"session":"s","node":"n","data":"{}"}`))
	f.Add([]byte("\x0a\x01n\x12\x01s\x1a\x02{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) (Emulated, error){DecodeEmulationJSON, DecodeEmulationProtobuf} {
			if got, err := decode(body); err == nil && got.Session == "" {
				t.Fatalf("%q was taken", body)
			}
		}
	})
}

func TestRepeatedIDs(t *testing.T) {
	h := new(ids)
	for id := uint32(1); id <= 200; id++ {
		if h.again(id) || !h.again(id) {
			t.Fatalf("id %d", id)
		}
	}
	for range 2 {
		if h.again(0) {
			t.Error("0 is no id")
		}
	}
	if !h.again(137) || h.again(1) {
		t.Error("the latest 64 are kept")
	}
}

// What is on the way may send a request twice.
func TestARepeatedRequestIsDoneOnce(t *testing.T) {
	f := newFake()
	f.secret = "secret"
	c := &client{proto: New(Config{}), s: f}
	c.receive([]byte(`{"id":1,"connect":{}}`))
	c.ping()
	for range 2 {
		c.receive([]byte(`{"id":2,"publish":{"channel":"a","data":1}}`))
		c.receive([]byte(`{}`))
	}
	if len(f.publish) != 1 || f.ended != nil {
		t.Errorf("%d publications, ended with %v", len(f.publish), f.ended)
	}
}
