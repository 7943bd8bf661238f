package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// Limits of a Go file. Tests have more room: they are read one at a time.
const (
	maxFileLines     = 500
	maxTestFileLines = 700
	maxFuncLines     = 80
	maxTestFuncLines = 130
)

// large are the exceptions to the limits, each with its reason: a file, or
// file#function.
var large = map[string]string{}

// source is one parsed Go file.
type source struct {
	name string // relative to the root
	text string
	set  *token.FileSet
	file *ast.File
}

func parse(name, text string) (*source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{name: name, text: text, set: set, file: file}, nil
}

// isTest says whether the file is only there for tests.
func (s *source) isTest() bool {
	return strings.HasSuffix(s.name, "_test.go") || strings.HasPrefix(s.name, "test/")
}

// sizes reports what is longer than its limit and no exception.
func (s *source) sizes() []string {
	var faults []string
	limit, funcLimit := maxFileLines, maxFuncLines
	if strings.HasSuffix(s.name, "_test.go") {
		limit, funcLimit = maxTestFileLines, maxTestFuncLines
	}
	if n := strings.Count(s.text, "\n"); n > limit && large[s.name] == "" {
		faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d: look for the second thing inside it", s.name, n, limit))
	}
	for _, decl := range s.file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := s.name + "#" + fn.Name.Name
		if n := s.line(fn.End()) - s.line(fn.Pos()) + 1; n > funcLimit && large[name] == "" {
			faults = append(faults, fmt.Sprintf("%s: %d lines, at most %d: look for the second thing inside it", name, n, funcLimit))
		}
	}
	return faults
}

// sleeps reports calls of time.Sleep in a file for tests. Inside synctest.Test a
// sleep is how virtual time moves on.
func (s *source) sleeps() []string {
	var faults []string
	if !s.isTest() {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "synctest", "Test") {
			return false
		}
		if expr, ok := n.(ast.Expr); ok && selects(expr, "time", "Sleep") {
			faults = append(faults, fmt.Sprintf("%s:%d: a sleep: use testing/synctest, or wait on a condition with a deadline", s.name, s.line(n.Pos())))
		}
		return true
	})
	return faults
}

// selects says whether expr is pkg.name.
func selects(expr ast.Expr, pkg, name string) bool {
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// leftovers reports skipped tests and work put off.
func (s *source) leftovers() []string {
	var faults []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Skip") && s.isTest() {
			if id, ok := sel.X.(*ast.Ident); ok && (id.Name == "t" || id.Name == "b" || id.Name == "f") {
				faults = append(faults, fmt.Sprintf("%s:%d: a skipped test says nothing", s.name, s.line(sel.Pos())))
			}
		}
		return true
	})
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			for _, mark := range []string{"TO" + "DO", "FIX" + "ME", "X" + "XX"} {
				if strings.Contains(c.Text, mark) {
					faults = append(faults, fmt.Sprintf("%s:%d: %s: do it, or open an issue", s.name, s.line(c.Pos()), mark))
				}
			}
		}
	}
	return faults
}

// declares says whether the file declares symbol at its top level: a function, a
// method of any type, a type, a constant or a variable.
func (s *source) declares(symbol string) bool {
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == symbol {
				return true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if specDeclares(spec, symbol) {
					return true
				}
			}
		}
	}
	return false
}

func specDeclares(spec ast.Spec, symbol string) bool {
	switch sp := spec.(type) {
	case *ast.TypeSpec:
		return sp.Name.Name == symbol
	case *ast.ValueSpec:
		for _, id := range sp.Names {
			if id.Name == symbol {
				return true
			}
		}
	}
	return false
}

func (s *source) line(p token.Pos) int { return s.set.Position(p).Line }

// undocumented reports directories of internal packages without a doc.go.
func undocumented(files []string) []string {
	has := map[string]bool{}
	for _, f := range files {
		dir := path.Dir(f)
		if strings.HasSuffix(f, ".go") && (strings.HasPrefix(dir, "internal/") || strings.HasPrefix(dir, "test/") || dir == "client") {
			has[dir] = has[dir] || path.Base(f) == "doc.go"
		}
	}
	var faults []string
	for dir, ok := range has {
		if !ok {
			faults = append(faults, dir+": no doc.go says what the package owns, hides and must not know")
		}
	}
	return faults
}

// confidential are names of what a comparison must not stop early at.
var confidential = regexp.MustCompile(`(?i)(secret|signature|password|apikey|hmac)$`)

// comparisons reports == and != between values that have names of secrets: how much
// of a guess is right could be told by the time they take. Those with constants
// are not meant.
func (s *source) comparisons() []string {
	var faults []string
	if s.isTest() {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryExpr)
		if !ok || b.Op != token.EQL && b.Op != token.NEQ || isLiteral(b.X) || isLiteral(b.Y) {
			return true
		}
		for _, side := range []ast.Expr{b.X, b.Y} {
			if name := nameOf(side); confidential.MatchString(name) {
				faults = append(faults, fmt.Sprintf("%s:%d: %s is compared with %s: use crypto/subtle or hmac.Equal", s.name, s.line(b.Pos()), name, b.Op))
			}
		}
		return true
	})
	return faults
}

// nameOf is the last name of an expression, or the text that a call asks for.
func nameOf(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			if lit, ok := e.Args[0].(*ast.BasicLit); ok {
				return strings.Trim(lit.Value, "`\"")
			}
			return nameOf(e.Args[0])
		}
	}
	return ""
}

func isLiteral(expr ast.Expr) bool {
	if id, ok := expr.(*ast.Ident); ok {
		return id.Name == "nil"
	}
	_, ok := expr.(*ast.BasicLit)
	return ok
}
