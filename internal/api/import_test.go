package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Each piece is answered by itself, in its place.
func TestImportAnswersEachPiece(t *testing.T) {
	f := newFixture(Limits{})
	var pieces, want []string
	for _, p := range []struct{ text, reply string }{
		{"a", `{"there":false}`},
		{"b", `{"there":true}`},
		{"conflict", `{"error":{"code":107,"message":"the channel is in the cluster with another history"}}`},
		{"large", `{"error":{"code":106,"message":"it does not fit into a message of the log"}}`},
		{"order", `{"error":{"code":107,"message":"a newer piece of the channel is missing"}}`},
		{"full", `{"error":{"code":111,"message":"too many requests: nothing was stored, try again","temporary":true}}`},
		{"nonsense", `{"error":{"code":107,"message":"it cannot be read: of a newer version"}}`},
	} {
		pieces, want = append(pieces, base64.StdEncoding.EncodeToString([]byte(p.text))), append(want, p.reply)
	}
	body, err := json.Marshal(map[string]any{"pieces": pieces})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.good(t, "history_import", string(body)); got != fmt.Sprintf(`{"pieces":[%s]}`, strings.Join(want, ",")) {
		t.Error(got)
	}
}

func TestImportRefuses(t *testing.T) {
	many := `{"pieces":[` + strings.TrimSuffix(strings.Repeat(`"YQ==",`, 4), ",") + `]}`
	for _, tt := range []struct{ body, words string }{
		{`{}`, "pieces is required"},
		{`{"pieces":[]}`, "pieces is required"},
		{`{"pieces":["%"]}`, "pieces: 0: illegal base64"},
		{`{"pieces":[1]}`, "pieces: 0: must be a string"},
		{many, "more than 3 pieces"},
	} {
		f := newFixture(Limits{MaxCommands: 3})
		if _, reply := f.call(t, post("history_import", tt.body)); !strings.Contains(reply, tt.words) {
			t.Errorf("%s: %s, want %q", tt.body, reply, tt.words)
		}
	}
	alone := newFixture(Limits{})
	alone.handler.importer = nil
	if _, reply := alone.call(t, post("history_import", `{"pieces":["YQ=="]}`)); !strings.Contains(reply, `"code":108`) {
		t.Errorf("a node that is alone: %s", reply)
	}
}
