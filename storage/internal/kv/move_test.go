package kv

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Every kind of record is moved to another store, or made anew from what is moved.
// Whoever adds one has to say which.
func TestEveryKindIsMoved(t *testing.T) {
	var known []byte
	for name, k := range movedKinds {
		if _, is := record.KindOf(name); !is {
			t.Errorf("%s is no kind of package record", name)
		}
		known = append(known, k.kind)
	}
	known = append(append(known, derivedKinds...), kindQueue)
	for _, k := range record.Kinds {
		if _, kept := movedKinds[k.Name]; !kept && !strings.HasSuffix(k.Name, "_places") {
			t.Errorf("%s of package record is in no file", k.Name)
		}
	}
	kinds := kindConstants(t)
	if len(kinds) < 25 {
		t.Fatalf("found %d kinds, want all of them", len(kinds))
	}
	for name, kind := range kinds {
		if !slices.Contains(known, kind) {
			t.Errorf("%s (%q) is neither moved nor made anew: add it to movedKinds and record.Kinds, or to derivedKinds", name, kind)
		}
		if _, checked := checkedKinds[kind]; !checked {
			t.Errorf("%s (%q) is not checked", name, kind)
		}
	}
	for _, kind := range known {
		if !slices.Contains(slices.Collect(maps.Values(kinds)), kind) {
			t.Errorf("%q is no kind", kind)
		}
	}
}

// kindConstants are those of this package whose names say that they are kinds.
func kindConstants(t *testing.T) map[string]byte {
	t.Helper()
	found := map[string]byte{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, isValue := n.(*ast.ValueSpec)
			if !isValue || !strings.HasPrefix(spec.Names[0].Name, "kind") || len(spec.Values) != 1 {
				return true
			}
			if literal, isLiteral := spec.Values[0].(*ast.BasicLit); isLiteral && literal.Kind == token.CHAR {
				found[spec.Names[0].Name] = literal.Value[1]
			}
			return true
		})
	}
	return found
}
