package integration_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What one look takes in. Tests count where they are tables of cases: not at all.
const (
	filesPerFolder = 20
	linesPerFile   = 300
	methodsPerType = 35
	filesPerType   = 8
)

// larger are those that may have more, and how many.
var larger = map[string]int{
	// The folder of a command whose files share one type; what is to be said of it
	// is a measurement a file.
	"files in bench":                    30,
	"files with methods of bench.bench": 11,
	// Each verb of the contract is a method of the model and one of what it records.
	"methods of storage/simulation/internal/model.World":            90,
	"files with methods of storage/simulation/internal/model.World": 16,
	"methods of storage/simulation/internal/model.state":            40,
	"files with methods of storage/simulation/internal/model.state": 16,
	// A check is beside the option that it is about, a request beside its answer.
	"files with methods of internal/config.Site": 12,
	"files with methods of authz/client.Client":  9,
}

// Folders, files and types stay small enough to be read at once.
func TestNothingGrowsTooLarge(t *testing.T) {
	sizes := map[string]int{} // by what is counted
	limits := map[string]int{}
	count := func(what string, n, limit int) {
		sizes[what] += n
		limits[what] = limit
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && name != ".." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		folder := filepath.ToSlash(filepath.Dir(name))
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count("files in "+folder, 1, filesPerFolder)
		count("lines in "+name, bytes.Count(text, []byte("\n")), linesPerFile)
		for receiver, methods := range methodsIn(t, name, text) {
			count("methods of "+folder+"."+receiver, methods, methodsPerType)
			count("files with methods of "+folder+"."+receiver, 1, filesPerType)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sizes) < 1000 {
		t.Fatalf("only %d folders, files and types are found", len(sizes))
	}
	for what, n := range sizes {
		if limit := max(limits[what], larger[what]); n > limit {
			t.Errorf("%d %s, want %d at most", n, what, limit)
		}
	}
	for what := range larger {
		if sizes[what] == 0 {
			t.Errorf("there are no %s any more", what)
		}
	}
}

// methodsIn counts the methods in a file, by their receivers.
func methodsIn(t *testing.T, name string, text []byte) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]int{}
	for _, declared := range file.Decls {
		f, ok := declared.(*ast.FuncDecl)
		if !ok || f.Recv == nil {
			continue
		}
		receiver := f.Recv.List[0].Type
		if pointer, ok := receiver.(*ast.StarExpr); ok {
			receiver = pointer.X
		}
		switch generic := receiver.(type) {
		case *ast.IndexExpr:
			receiver = generic.X
		case *ast.IndexListExpr:
			receiver = generic.X
		}
		if named, ok := receiver.(*ast.Ident); ok {
			methods[named.Name]++
		}
	}
	return methods
}
