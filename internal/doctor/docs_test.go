package doctor

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of docs/doctor.md")

const (
	docsFile  = "../../docs/doctor.md"
	docsBegin = "<!-- generated: go test ./internal/doctor -run TestDocumentation -update -->\n"
)

// docs/doctor.md lists all that can be found.
func TestDocumentation(t *testing.T) {
	var b strings.Builder
	b.WriteString("| finding | severity | means | standard | fix |\n|---|---|---|---|---|\n")
	for _, k := range Catalogue() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.ID, k.Severity, k.Title, k.Spec, strings.ReplaceAll(k.Fix, "|", `\|`))
	}
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, generated, ok := strings.Cut(string(data), docsBegin)
	if !ok {
		t.Fatalf("%s has no line %q", docsFile, docsBegin)
	}
	if generated == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the catalogue says; run with -update", docsFile)
	}
	if err := os.WriteFile(docsFile, []byte(before+docsBegin+b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
