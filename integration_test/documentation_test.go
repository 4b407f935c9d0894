package integration_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docs/README.md leads to every page.
func TestDocumentationIndex(t *testing.T) {
	index, err := os.ReadFile("../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		name := filepath.Base(page)
		if name != "README.md" && !strings.Contains(string(index), "]("+name) {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// Who looks for what a page or the log says has to find it in the same words.
func TestQuotedTexts(t *testing.T) {
	said := textsOfTheProgram(t)
	quoted := 0
	for _, from := range []struct{ page, heading string }{
		{"troubleshooting.md", "## The page says"},
		{"troubleshooting.md", "## The log says"},
		{"sign-in.md", "## Pages and errors"},
	} {
		page, err := os.ReadFile("../docs/" + from.page)
		if err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut(string(page), from.heading+"\n")
		if !found {
			t.Errorf("%s has no heading %q", from.page, from.heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*)`).FindAllStringSubmatch(section, -1) {
			for _, text := range regexp.MustCompile(`\*([^*]+)\*`).FindAllStringSubmatch(row[1], -1) {
				quoted++
				for part := range strings.SplitSeq(text[1], "…") {
					if part = strings.TrimSpace(part); !strings.Contains(said, part) {
						t.Errorf("%s, %s: the program says nowhere %q", from.page, from.heading, part)
					}
				}
			}
		}
	}
	if quoted < 20 {
		t.Errorf("only %d texts are quoted", quoted)
	}
}

// textsOfTheProgram returns all texts in its code and its pages.
func textsOfTheProgram(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../authz", "../caddymodule", "../consent", "../internal", "../storage"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil || entry.IsDir():
				return err
			case filepath.Ext(path) == ".html":
				text, err := os.ReadFile(path)
				all.Write(text)
				return err
			case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						all.WriteString(text + "\n")
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// Caddy makes its documentation of modules, and of their JSON, from doc comments.
func TestConfigurationIsDescribed(t *testing.T) {
	fields := 0
	for _, dir := range []string{"../internal/config", "../authz/client", "../caddymodule", "../caddymodule/health", "../caddymodule/audit", "../caddymodule/emitter"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") || dir == "../authz/client" && filepath.Base(path) != "quirks.go" {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, declaration := range file.Decls {
				types, ok := declaration.(*ast.GenDecl)
				if !ok || types.Tok != token.TYPE {
					continue
				}
				for _, spec := range types.Specs {
					if of := spec.(*ast.TypeSpec); of.Name.IsExported() {
						fields += describedFields(t, path, of)
					}
				}
			}
		}
	}
	if fields < 100 {
		t.Errorf("only %d fields were found", fields)
	}
}

// describedFields asserts that the comment of each field that JSON can have begins
// with its name, is a sentence, and says what holds without it.
func describedFields(t *testing.T, path string, of *ast.TypeSpec) (n int) {
	t.Helper()
	structure, ok := of.Type.(*ast.StructType)
	if !ok {
		return 0
	}
	for _, field := range structure.Fields.List {
		if field.Tag == nil || len(field.Names) == 0 || !field.Names[0].IsExported() {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		if name := reflect.StructTag(tag).Get("json"); name == "" || name == "-" {
			continue
		}
		n++
		boolean, isIdent := field.Type.(*ast.Ident)
		optional := strings.Contains(tag, ",omit") && (!isIdent || boolean.Name != "bool")
		if optional && !regexp.MustCompile(`[Dd]efault|[Rr]equired|At\s+least\s+one`).MatchString(field.Doc.Text()) {
			t.Errorf("%s: %s.%s does not say its default, or that it is required", path, of.Name.Name, field.Names[0].Name)
		}
		about := strings.TrimSpace(field.Doc.Text())
		if !strings.HasPrefix(about, field.Names[0].Name+" ") || !strings.HasSuffix(about, ".") {
			t.Errorf("%s: %s.%s is described as %q; want its name and what it means, in sentences", path, of.Name.Name, field.Names[0].Name, about)
		}
	}
	return n
}
