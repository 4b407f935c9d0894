package adminapi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/generated"
)

// TestReference compares docs/admin-api.md with the routes and their types.
func TestReference(t *testing.T) {
	generated.Compare(t, "../../docs/admin-api.md", newReference(t), *update)
}

// newReference describes routes and types for people.
func newReference(t *testing.T) string {
	t.Helper()
	_, s := newDocument(t)
	var b strings.Builder
	resource := ""
	for _, r := range routes() {
		if r.resource() != resource {
			resource = r.resource()
			title := strings.ReplaceAll(resource, "_", " ")
			fmt.Fprintf(&b, "\n## %s%s\n", strings.ToUpper(title[:1]), title[1:])
		}
		fmt.Fprintf(&b, "\n### %s %s\n\n%s\n", r.method, r.path, r.about)
		writeParameters(&b, &r)
		if r.body != nil {
			fmt.Fprintf(&b, "\nSend: %s.\n", s.name(reflect.TypeOf(r.body)))
		}
		if _, isFile := r.answer.(File); isFile {
			b.WriteString("\nAnswer: the file.\n")
		} else if answer := s.name(reflect.TypeOf(r.answer)); answer != "object" {
			fmt.Fprintf(&b, "\nAnswer: %s.\n", answer)
		}
	}
	b.WriteString("\n## Types\n")
	slices.SortFunc(s.order, func(a, b reflect.Type) int { return strings.Compare(a.Name(), b.Name()) })
	for _, shown := range s.order {
		fmt.Fprintf(&b, "\n### Type %s\n\n%s\n\n| member | type | |\n|---|---|---|\n", shown.Name(), s.aboutType(shown))
		for _, m := range s.members(shown) {
			about := strings.ReplaceAll(m.about, "|", "\\|")
			if values := s.source(m.of).values[m.of.Name()]; values != nil {
				about = strings.TrimSpace(about + " One of `" + strings.Join(values, "`, `") + "`.")
			}
			optional := ""
			if m.optional {
				optional = ", optional"
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", m.name, s.name(m.of), optional, about)
		}
	}
	return b.String()
}

func writeParameters(b *strings.Builder, r *route) {
	if len(r.query) == 0 {
		return
	}
	b.WriteString("\n| parameter | |\n|---|---|\n")
	for _, p := range r.query {
		about := p.about
		switch p.kind {
		case flagKind:
			about += " `true` or `false`, which is the default."
		case countKind:
			about += fmt.Sprintf(" From 1 to %d; %d is the default.", maxLimit, defaultLimit)
		case choiceKind:
			about += " One of `" + strings.Join(p.choices, "`, `") + "`."
		}
		if p.required {
			about += " Required."
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", p.name, about)
	}
}

// name is what people call a type.
func (s *schemas) name(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case strings.HasPrefix(t.Name(), "given["):
		value, _ := t.FieldByName("value")
		return s.name(value.Type)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.name(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "object"
		}
		return "list of " + s.name(t.Elem())
	case reflect.Map:
		return "object of " + s.name(t.Elem())
	case reflect.Struct:
		return fmt.Sprintf("[%s](#type-%s)", t.Name(), strings.ToLower(t.Name()))
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "number"
	}
	return "string"
}
