package pusher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page for readers names every code.
func TestCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "pusher.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range Codes() {
		if !strings.Contains(string(page), fmt.Sprint(code)) {
			t.Errorf("docs/pusher.md does not name %d", code)
		}
	}
}
