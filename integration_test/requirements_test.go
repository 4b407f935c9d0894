package integration_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tests of each requirement into docs/requirements.md")

const catalogue = "../docs/requirements.md"

var (
	// requirementID is AS-21 or, in names, AS21; or A01 to N99.
	requirementID = regexp.MustCompile(`(?:^|[^A-Za-z0-9])((?:AS|RS|CL|D|P)-\d{1,2}|(?:AS|RS|CL)\d{1,2}|P\d{1,2}|[A-N]\d{2}|D\d)(?:$|[^A-Za-z0-9])`)
	catalogueRow  = regexp.MustCompile(`^\| ([A-Z]+-?\d+) \| (.+) \| (.+) \| (.*) \|$`)
)

// The catalogue of requirements and the code agree: each id that the code uses
// has a row, and each row names the tests that show it, or says why there is
// none. Run with -update after adding a test.
func TestRequirementsAreCatalogued(t *testing.T) {
	text, err := os.ReadFile(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	used, tests := requirementsInCode(t)
	lines := strings.Split(string(text), "\n")
	rows := map[string]bool{}
	for i, line := range lines {
		row := catalogueRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		id, shown := row[1], row[4]
		if rows[id] {
			t.Errorf("%s: two rows", id)
		}
		rows[id] = true
		want := strings.Join(slices.Sorted(maps.Keys(tests[id])), ", ")
		switch {
		case want == "" && (shown == "" || strings.HasPrefix(shown, "`")):
			t.Errorf("%s: got the tests %q, want none, and the reason why", id, shown)
		case want == "" || want == shown:
		case *update:
			lines[i] = "| " + strings.Join([]string{id, row[2], row[3], want}, " | ") + " |"
		default:
			t.Errorf("%s: got the tests %s, want %s (run this test with -update)", id, shown, want)
		}
	}
	for id, place := range used {
		if !rows[id] {
			t.Errorf("%s: %s is not in docs/requirements.md", place, id)
		}
	}
	if len(rows) < 300 {
		t.Errorf("got %d rows, want all", len(rows))
	}
	if *update {
		if err := os.WriteFile(catalogue, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// requirementsInCode returns where each id is used, and which tests use it.
func requirementsInCode(t *testing.T) (used map[string]string, tests map[string]map[string]bool) {
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "--", "*.go", "*.mjs")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	used, tests = map[string]string{}, map[string]map[string]bool{}
	for _, file := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil || filepath.Base(file) == "requirements_test.go" {
			continue
		}
		for id := range idsIn(string(text)) {
			used[id] = file
		}
		for name, body := range testsIn(t, file, string(text)) {
			for id := range idsIn(body) {
				if tests[id] == nil {
					tests[id] = map[string]bool{}
				}
				tests[id]["`"+name+"`"] = true
			}
		}
	}
	return used, tests
}

// testsIn returns the text of each test of a file: the functions of a Go file
// that tests, and a script as a whole.
func testsIn(t *testing.T, file, text string) map[string]string {
	if strings.HasSuffix(file, ".mjs") {
		return map[string]string{file: text}
	}
	suite := strings.HasPrefix(file, "storage/storetest/")
	if !suite && !strings.HasSuffix(file, "_test.go") {
		return nil
	}
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil {
			continue
		}
		from := f.Pos()
		if f.Doc != nil {
			from = f.Doc.Pos()
		}
		body := text[files.Position(from).Offset:files.Position(f.End()).Offset]
		switch name := f.Name.Name; {
		case suite:
			found["storetest."+name] = body
		case strings.HasPrefix(name, "Test"), strings.HasPrefix(name, "Fuzz"), strings.HasPrefix(name, "Benchmark"):
			found[name] = body
		}
	}
	return found
}

// idsIn returns the ids in a text, as the catalogue spells them.
func idsIn(text string) map[string]bool {
	ids := map[string]bool{}
	// Two ids can share the character between them.
	for {
		m := requirementID.FindStringSubmatchIndex(text)
		if m == nil {
			return ids
		}
		ids[catalogued(text[m[2]:m[3]])] = true
		text = text[m[3]:]
	}
}

// catalogued returns the id with the hyphen that names of tests cannot have.
func catalogued(id string) string {
	if strings.Contains(id, "-") {
		return id
	}
	for _, family := range []string{"AS", "RS", "CL", "P"} {
		if number, ok := strings.CutPrefix(id, family); ok {
			return family + "-" + number
		}
	}
	// D01 to D15 are about refreshing; D-1 to D-4 and D-20 to D-25 about pages.
	if len(id) == 2 || id >= "D20" && id <= "D29" {
		return "D-" + id[1:]
	}
	return id
}
