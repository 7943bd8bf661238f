package main

import (
	"encoding/json"
	"io"
	"strings"
	"time"
)

// goEvent is a line of `go test -json` (go doc test2json).
type goEvent struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Output      string
	Key, Value  string // of attr
	Elapsed     float64
	FailedBuild string
}

// goPackage is what is known of one package until it ends.
type goPackage struct {
	tests  int
	failed bool
	output map[string][]string // by test; "" is the package's own
}

// module is cut off the names of packages.
const module = "github.com/fanfare-push/fanfare/"

// summaryAttr is the attribute (testing.T.Attr) that is printed of a test that
// passed.
const summaryAttr = "summary"

// readGo counts what `go test -json` writes.
func readGo(r io.Reader, total *tally) {
	packages := map[string]*goPackage{}
	builds := map[string][]string{}
	for s := lines(r); s.Scan(); {
		var e goEvent
		if json.Unmarshal(s.Bytes(), &e) != nil {
			total.printf("%s\n", s.Text()) // the go command's own words
			continue
		}
		if e.Action == "build-output" {
			builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
			continue
		}
		p := packages[e.Package]
		if p == nil {
			p = &goPackage{output: map[string][]string{}}
			packages[e.Package] = p
		}
		if e.Test != "" {
			p.test(e, total)
			continue
		}
		if e.FailedBuild != "" {
			p.output[""] = append(p.output[""], builds[e.FailedBuild]...)
		}
		p.end(e, total)
	}
}

// test takes an event of one test.
func (p *goPackage) test(e goEvent, total *tally) {
	switch e.Action {
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
		return
	case "attr":
		if e.Key == summaryAttr {
			total.note(e.Test, e.Value)
		}
		return
	case "pass":
		total.passed++
	case "skip":
		total.skipped++
		total.failure(name(e)+" was skipped", p.output[e.Test])
	case "fail":
		total.failed++
		p.failed = true
		total.failure(name(e), p.output[e.Test])
	default:
		return
	}
	p.tests++
	delete(p.output, e.Test)
}

// end takes an event of the package itself.
func (p *goPackage) end(e goEvent, total *tally) {
	took := time.Duration(e.Elapsed * float64(time.Second))
	switch e.Action {
	case "output":
		p.output[""] = append(p.output[""], e.Output)
	case "pass", "skip":
		if p.tests > 0 {
			total.finished(name(e), true, p.tests, took)
		}
	case "fail":
		if !p.failed {
			// It did not build, it crashed, or a check after the tests failed.
			total.failed++
			p.tests++
		}
		total.failure(name(e), p.rest())
		total.finished(name(e), false, p.tests, took)
	}
}

// rest is the output that no finished test has claimed: of the package, and of
// tests that a crash or time-out cut off.
func (p *goPackage) rest() []string {
	all := p.output[""]
	for test, out := range p.output {
		if test != "" {
			all = append(all, out...)
		}
	}
	return all
}

func name(e goEvent) string {
	pkg := strings.TrimPrefix(e.Package, module)
	if e.Test == "" {
		return pkg
	}
	return strings.TrimSpace(pkg + " " + e.Test)
}
