package adminapi

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// object is a JSON object.
type object = map[string]any

// member is a member of the JSON of a type, as its comment describes it.
type member struct {
	name, about string
	optional    bool // it may not be there
	of          reflect.Type
}

// schemas are those of all types that were asked for, and what they refer to.
type schemas struct {
	t      *testing.T
	parsed map[string]source
	named  object
	order  []reflect.Type
}

// source is what is written about the types of a package.
type source struct {
	types, fields map[string]string   // comments; of a field by Type.Field
	values        map[string][]string // of a string type that lists its constants
}

// of returns the schema of a type.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object"}
	case strings.HasPrefix(t.Name(), "given["):
		return s.ofGiven(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		schema := object{"type": "string"}
		if values := s.source(t).values[t.Name()]; values != nil {
			schema["enum"] = values
		}
		return schema
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		s.add(t)
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	s.t.Fatalf("say in schemas.of what %s is in JSON", t)
	return nil
}

// ofGiven returns the schema of what may be left out. A list or time may be null.
func (s *schemas) ofGiven(t reflect.Type) object {
	value, _ := t.FieldByName("value")
	schema := s.of(value.Type)
	if value.Type.Kind() == reflect.Slice || value.Type == reflect.TypeFor[time.Time]() {
		schema["type"] = []any{schema["type"], "null"}
	}
	return schema
}

// add adds the schema of a struct.
func (s *schemas) add(t reflect.Type) {
	if _, there := s.named[t.Name()]; there {
		return
	}
	schema := object{"type": "object"}
	s.named[t.Name()] = schema
	s.order = append(s.order, t)
	if about := s.aboutType(t); about != "" {
		schema["description"] = about
	}
	properties, required := object{}, []string{}
	for _, m := range s.members(t) {
		property := s.of(m.of)
		if m.about != "" {
			property["description"] = m.about
		}
		if properties[m.name] = property; !m.optional {
			required = append(required, m.name)
		}
	}
	schema["properties"] = properties
	if slices.Sort(required); len(required) > 0 {
		schema["required"] = required
	}
}

// members returns the members of the JSON of a struct, in their order.
func (s *schemas) members(t reflect.Type) (list []member) {
	for i := range t.NumField() {
		field := t.Field(i)
		tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && tag == "":
			list = append(list, s.members(field.Type)...)
		case tag == "-" || !field.IsExported():
		case tag == "":
			s.t.Errorf("%s.%s has no name in JSON", t, field.Name)
		default:
			list = append(list, member{
				name: tag, of: field.Type, about: s.rename(t, s.source(t).fields[t.Name()+"."+field.Name]),
				optional: strings.Contains(options, "omit") || strings.HasPrefix(field.Type.Name(), "given["),
			})
		}
	}
	return list
}

func (s *schemas) aboutType(t reflect.Type) string { return s.source(t).types[t.Name()] }

// rename has a comment call fields as they are called in JSON.
func (s *schemas) rename(t reflect.Type, text string) string {
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			text = regexp.MustCompile(`\b`+field.Name+`\b( (is|are|says|tells|has|counts)\b)`).ReplaceAllString(text, "`"+name+"`$1")
		}
	}
	return text
}

// source returns what is written about the types of the package of one.
func (s *schemas) source(t reflect.Type) source {
	path, ours := strings.CutPrefix(t.PkgPath(), "github.com/mcpoauth/caddy-mcp-oauth/")
	if !ours {
		return source{}
	}
	if found, there := s.parsed[path]; there {
		return found
	}
	found := source{types: map[string]string{}, fields: map[string]string{}, values: map[string][]string{}}
	names, err := filepath.Glob(filepath.Join("../..", path, "*.go"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			s.t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool { found.read(n); return true })
	}
	s.parsed[path] = found
	return found
}

// read takes up what a declaration says.
func (s *source) read(n ast.Node) {
	declaration, ok := n.(*ast.GenDecl)
	if !ok {
		return
	}
	for _, spec := range declaration.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = declaration.Doc
			}
			s.types[spec.Name.Name] = oneLine(doc)
			if fields, ok := spec.Type.(*ast.StructType); ok {
				s.readFields(spec.Name.Name, fields)
			}
		case *ast.ValueSpec:
			kind, isNamed := spec.Type.(*ast.Ident)
			for _, value := range spec.Values {
				literal, isLiteral := value.(*ast.BasicLit)
				if declaration.Tok == token.CONST && isNamed && isLiteral && literal.Kind == token.STRING {
					text, _ := strconv.Unquote(literal.Value)
					s.values[kind.Name] = append(s.values[kind.Name], text)
				}
			}
		}
	}
}

func (s *source) readFields(of string, fields *ast.StructType) {
	for _, field := range fields.Fields.List {
		about := strings.TrimSpace(oneLine(field.Doc) + " " + oneLine(field.Comment))
		for _, name := range field.Names {
			s.fields[of+"."+name.Name] = about
		}
	}
}

func oneLine(comment *ast.CommentGroup) string {
	return strings.Join(strings.Fields(comment.Text()), " ")
}
