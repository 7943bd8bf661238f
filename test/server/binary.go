package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build gives the path of the binary under test: FANFARE_BIN when it is set,
// otherwise one built from this module into dir.
func Build(ctx context.Context, dir string) (string, error) {
	if bin := os.Getenv("FANFARE_BIN"); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("FANFARE_BIN: %w", err)
		}
		return bin, nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "fanfare")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/fanfare")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/fanfare: %w\n%s", err, out)
	}
	return bin, nil
}

// ForTests is Build for the tests of a package, all of which use one binary. done
// tidies up and ends the process with the code of the tests (goleak.Cleanup wants
// it so). It panics where there is no binary: no test could run.
func ForTests(name string) (bin string, done func(code int)) {
	dir, err := os.MkdirTemp("", "fanfare-"+name+"-")
	if err != nil {
		panic(err)
	}
	if bin, err = Build(context.Background(), dir); err != nil {
		panic(err)
	}
	return bin, func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not inside a Go module")
	}
	return filepath.Dir(mod), nil
}
