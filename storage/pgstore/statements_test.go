package pgstore

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// spliced is all that is put into the text of statements beside constants, and why it
// never is a value that a record, a request or another process gave.
var spliced = map[string]string{
	"store.go: table":                                                    "of a list of constants",
	"grant.go: condition":                                                "a constant of the caller",
	"internal/moving/side.go: t.body":                                    "of a table of constants",
	"internal/moving/side.go: t.name":                                    "of a table of constants",
	"internal/moving/side.go: parts":                                     "numbers of arguments",
	"internal/instances/rates.go: s.Clock":                               "a constant, but for tests",
	"internal/moving/side.go: strings.Join(t.columns[:t.key], \" || \")": "of a table of constants",
	"migrate.go: pgx.Identifier{schema}.Sanitize()":                      "the schema of the configuration, as an identifier",
	"client.go: insertFlow":                                              "a constant",
	"queue.go: table":                                                    "one of two names, in the loop around it",
	"issue.go: which":                                                    "a constant of the caller",
	"readahead.go: table":                                                "a constant of the caller",
	"queue.go: q.table":                                                  "a constant of the caller",
	"store.go: size":                                                     "a constant",
	"store.go: of.id":                                                    "of a table of constants",
	"store.go: of.column()":                                              "of a table of constants",
	"store.go: of.table":                                                 "of a table of constants",
	"store.go: of.live":                                                  "of a table of constants",
	"store.go: of.person":                                                "of a table of constants",
	"store.go: fmt.Sprintf(of.parts, \"$2::bytea\")":                     "of a table of constants",
	"store.go: fmt.Sprintf(of.parts, \"k\")":                             "of a table of constants",
	"tx.go: a.sql":                                                       "the statement of a verb",
	"tx.go: n + 1":                                                       "a number",
	"tx.go: n + 2":                                                       "a number",
	"upkeep.go: s.table":                                                 "of a table of constants",
	"upkeep.go: id":                                                      "a constant",
	"upkeep.go: sweepBatch":                                              "a constant",
	"upkeep.go: body":                                                    "a constant",
	"upkeep.go: more":                                                    "a constant",
	"upkeep.go: table.id":                                                "of a table of constants",
	"upkeep.go: table.name":                                              "of a table of constants",
	"upkeep.go: table.key":                                               "of a table of constants",
	"upkeep.go: table.of(\"$1::bytea\")":                                 "of a table of constants",
	"upkeep.go: table.of(\"due\")":                                       "of a table of constants",
	"internal/changes/listen.go: w.watcher.channel":                      "a digest of the schema",
	"internal/changes/write.go: insert":                                  "a constant",
	"internal/database/pooler.go: scope":                                 "true or false",
	"internal/database/pooler.go: timeout":                               "a number",
	"internal/instances/instances.go: Microseconds":                      "a constant",
	"internal/instances/rates.go: Microseconds":                          "a constant",
	"internal/moving/side.go: name":                                      "of a table of constants",
	"internal/moving/side.go: sql":                                       "of a table of constants",
	"internal/moving/side.go: key":                                       "of a table of constants",
	"internal/moving/side.go: code":                                      "a constant",
	"internal/moving/side.go: queues[kind.Name]":                         "of a table of constants",
	"internal/moving/side.go: set":                                       "of a table of constants",
}

// statement is how a constant looks that is a statement, or a part of one.
var statement = regexp.MustCompile(`(?i)(^|[\s(])(select|insert into|update|delete from|truncate|create (table|schema|index)|drop|alter|listen|notify|set|where|order by|limit|values|returning|from) ?`)

// No statement is made from values: what a caller gives is an argument of it. Whatever
// else is put into the text of one is listed, with why it may.
func TestNoStatementFromValues_M14(t *testing.T) {
	found := map[string]bool{}
	statements := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		note := func(parts []ast.Expr) {
			if !slices.ContainsFunc(parts, isStatement) {
				return
			}
			statements++
			for _, part := range parts {
				if _, constant := part.(*ast.BasicLit); constant {
					continue
				}
				var text strings.Builder
				if err := printer.Fprint(&text, files, part); err != nil {
					t.Fatal(err)
				}
				found[filepath.ToSlash(path)+": "+text.String()] = true
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.ADD {
					note(operands(n))
					return false
				}
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Sprintf", "Appendf", "Fprintf", "WriteString"}, called.Sel.Name) {
					note(n.Args)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if statements < 20 {
		t.Fatalf("found %d statements of several parts", statements)
	}
	for part := range found {
		if _, known := spliced[part]; !known {
			t.Errorf("%s is put into a statement; make it an argument, or say here why it is none", part)
		}
	}
	for _, part := range slices.Sorted(maps.Keys(spliced)) {
		if !found[part] {
			t.Errorf("%s is in no statement any more", part)
		}
	}
}

// operands returns what is put together by one or several +.
func operands(e ast.Expr) []ast.Expr {
	if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		return append(operands(sum.X), operands(sum.Y)...)
	}
	return []ast.Expr{e}
}

func isStatement(e ast.Expr) bool {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return false
	}
	text, err := strconv.Unquote(literal.Value)
	return err == nil && (statement.MatchString(text) && strings.ContainsAny(text, "{$(") || text == "create schema " || strings.HasPrefix(text, "listen "))
}
