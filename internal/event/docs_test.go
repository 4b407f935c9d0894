package event

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/generated"
)

var update = flag.Bool("update", false, "write the generated part of docs/logs.md")

// docs/logs.md lists every event and every field.
func TestDocumentation(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n## Events\n\nThe field `event` is the name, `msg` the text.\n\n| event | text | level | outcome |\n|---|---|---|---|\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k, k.Message(), k.Level().CapitalString(), k.Outcome())
	}
	b.WriteString("\n## Fields\n\nA field that says nothing is left out.\n\n| field | what it is |\n|---|---|\n")
	for _, f := range logFields {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.name, f.meaning)
	}
	b.WriteString("| `status` | the HTTP status of the answer |\n| `count` | of `event.suppressed`: how many events have no line |\n")
	generated.Compare(t, "../../docs/logs.md", b.String(), *update)
}

// Refusals and failures are in the default log.
func TestKindsTellOperators(t *testing.T) {
	for _, k := range Kinds() {
		if (k.Outcome() == Refused || k.Outcome() == Failed) && k.Level() < zapcore.InfoLevel {
			t.Errorf("%s is not in the default log", k)
		}
	}
}

// Each kind is one that something records.
func TestKindsHappen(t *testing.T) {
	kinds, err := os.ReadFile("kinds.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(kinds), "_ Kind = iota")
	list, _, _ = strings.Cut(list, "kindsEnd")
	used := sources(t)
	for _, name := range strings.Fields(list) {
		if name != "Suppressed" && !strings.Contains(used, "event."+name) {
			t.Errorf("nothing records %s", name)
		}
	}
}

// sources returns the code of all other packages, without tests.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, root := range []string{"authz", "consent", "caddymodule", "internal", "storage"} {
		err := filepath.WalkDir(filepath.Join("../..", root), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
