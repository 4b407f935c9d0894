package doctor

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/generated"
)

var update = flag.Bool("update", false, "write the generated part of docs/doctor.md")

const docsFile = "../../docs/doctor.md"

// docs/doctor.md lists all that can be found.
func TestDocumentation(t *testing.T) {
	var b strings.Builder
	b.WriteString("| finding | severity | means | standard | fix |\n|---|---|---|---|---|\n")
	for _, k := range catalogue {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.ID, k.Severity, k.Title, k.Spec, strings.ReplaceAll(k.Fix, "|", `\|`))
	}
	generated.Compare(t, docsFile, b.String(), *update)
}

// docs/doctor.md names each member of the JSON, and each value that programs compare.
func TestDocumentedMembers(t *testing.T) {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "## As JSON")
	section, _, _ = strings.Cut(section, "## Findings")
	want := []string{
		string(Healthy), string(Findings), string(Unchecked), string(Failure), string(Warning), string(Note),
		string(Connected), string(Person), string(Stopped), string(NotOffered), string(Skipped),
	}
	for _, v := range []any{Report{}, Server{}, ClientReport{}, Step{}, Finding{}, Registration{}, Exchange{}} {
		for field := range reflect.TypeOf(v).Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				want = append(want, name)
			}
		}
	}
	for _, name := range want {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("%s does not say what %s is", docsFile, name)
		}
	}
}
