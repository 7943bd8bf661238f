package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/doctor"
)

// production is the file that README.md shows for going live.
func production(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\n# fanfare.yaml\n")
	text, _, ended := strings.Cut(text, "\n```")
	if !found || !ended {
		t.Fatal("README.md shows no fanfare.yaml")
	}
	return write(t, "fanfare.yaml", text)
}

// What README.md tells to do has no finding, with secrets made as it says.
func TestDoctorOfTheReadme(t *testing.T) {
	file := production(t)
	t.Setenv("FANFARE_APP_SECRET", "9f3c1d7e52ab40686e0d95c4b17fa28c3d6e8b90f1427a5c6b3e0d98f7a1c254")
	t.Setenv("FANFARE_API_KEY", "1b7e4f90c8d35a26e7f01d4b9c6a83527de0f4b8916c3a5d2e7f8b0c4d9a6153")
	out, _, err := run(t, "", "doctor", "--config", file)
	if err != nil || out != "nothing is unsafe or odd in these settings\n" {
		t.Errorf("%s%v", out, err)
	}
	if out, _, err = run(t, "", "doctor", "--config", file, "--json"); err != nil || out != "[]\n" {
		t.Errorf("%s%v", out, err)
	}
	out, warned, err := run(t, "", "config", "check", "--config", file)
	if err != nil || out != "the settings are valid\n" || warned != "" {
		t.Errorf("%s%s%v", out, warned, err)
	}
}

// What the doctor calls an error is warned of where settings are checked, and
// nothing else of the doctor's is; the settings are valid all the same.
func TestConfigCheckWarns(t *testing.T) {
	file := write(t, "a.yaml", "listen: :8000\napp: {secret: s3cret}\n")
	out, warned, err := run(t, "", "config", "check", "--config", file)
	if err != nil || out != "the settings are valid\n" {
		t.Errorf("%s%v", out, err)
	}
	if strings.Count(warned, "→") != 1 || !strings.Contains(warned, "\nerror    app.secret: has 6 bytes") || strings.Contains(warned, "s3cret") {
		t.Error(warned)
	}
	if out, warned, err = run(t, "", "config", "check", "--dev"); err != nil || warned != "" {
		t.Errorf("%s%s%v", out, warned, err)
	}
}

func TestDoctor(t *testing.T) {
	file := write(t, "a.yaml", "listen: :8000\napp: {secret: s3cret}\n")
	out, _, err := run(t, "", "doctor", "--config", file, "--json")
	if err == nil || err.Error() != "doctor: 1 error" {
		t.Error(err)
	}
	var found []doctor.Finding
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if len(found) != 4 || found[0].Rule != "secret_weak" || found[1].Rule != "no_tls" || found[2].Rule != "api_key" || found[3].Rule != "limit_by_address" || strings.Contains(out, "s3cret") {
		t.Error(out)
	}
	if out, _, err = run(t, "", "doctor", "--dev"); err == nil || !strings.HasPrefix(out, "error    dev: ") {
		t.Errorf("%s%v", out, err)
	}
	if out, _, err = run(t, "", "doctor", "--config", write(t, "b.yaml", "clint: 1\napi: {key: …}\n")); err == nil || !strings.Contains(out, "did you mean client?") {
		t.Errorf("%s%v", out, err)
	}
}

func TestDoctorLooksAtThisMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	args := []string{"doctor", "--config", write(t, "a.yaml", "app: {secret: s3cret}\n"), "--data-dir", dir}
	const finding = "can change history"
	if out, _, _ := run(t, "", args...); strings.Contains(out, finding) {
		t.Error(out)
	}
	if out, _, err := run(t, "", append(args, "--live")...); err == nil || !strings.Contains(out, finding) {
		t.Errorf("%s%v", out, err)
	}
}
