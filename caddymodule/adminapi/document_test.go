package adminapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write anew openapi.json and the generated part of docs/admin-api.md")

// newDocument returns the OpenAPI document of the routes, and the schemas in it.
func newDocument(t *testing.T) (object, *schemas) {
	t.Helper()
	s := &schemas{t: t, parsed: map[string]source{}, named: object{}}
	s.add(reflect.TypeFor[Failure]())
	paths, ids := object{}, map[string]bool{}
	for _, r := range routes() {
		path, _ := paths[r.path].(object)
		if path == nil {
			path = object{}
			paths[r.path] = path
		}
		id := runtime.FuncForPC(reflect.ValueOf(r.serve).Pointer()).Name()
		if id = id[strings.LastIndex(id, ".")+1:]; ids[id] {
			id += "Alias"
		}
		ids[id] = true
		path[strings.ToLower(r.method)] = operation(s, &r, id)
	}
	return object{
		"openapi": "3.1.1",
		"info": object{
			"title": "Admin API of caddy-mcp-oauth", "version": "1",
			"description": "What operators see and end of the mcp_oauth sites of a Caddy, on its admin endpoint.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":    []object{{"url": "http://localhost:2019", "description": "Caddy's admin endpoint, where it is by default."}},
		"security":   []object{{}}, // whoever may open the admin endpoint may do all of this
		"paths":      paths,
		"components": object{"schemas": s.named},
	}, s
}

// operation describes a route.
func operation(s *schemas, r *route, id string) object {
	parameters := []object{}
	for part := range strings.SplitSeq(r.path, "/") {
		if name, isName := strings.CutPrefix(part, "{"); isName {
			parameters = append(parameters, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, p := range r.query {
		one := object{"name": p.name, "in": "query", "description": p.about, "schema": p.schema()}
		if p.required {
			one["required"] = true
		}
		parameters = append(parameters, one)
	}
	content := func(of object) object { return object{"application/json": object{"schema": of}} }
	failures := slices.Concat([]int{http.StatusServiceUnavailable}, r.fails)
	if len(r.query) > 0 || r.body != nil {
		failures = append(failures, http.StatusBadRequest)
	}
	summary, rest, _ := strings.Cut(r.about, ". ")
	described := object{
		"operationId": id, "summary": strings.TrimSuffix(summary, "."), "tags": []string{r.resource()}, "parameters": parameters,
	}
	if rest != "" {
		described["description"] = r.about
	}
	if r.body != nil {
		failures = append(failures, http.StatusUnsupportedMediaType)
		described["requestBody"] = object{"required": true, "content": content(s.of(reflect.TypeOf(r.body)))}
	}
	answered := object{"application/octet-stream": object{"schema": object{"type": "string", "format": "binary"}}}
	if _, isFile := r.answer.(File); !isFile {
		answered = content(s.of(reflect.TypeOf(r.answer)))
	}
	responses := object{strconv.Itoa(r.success()): object{"description": "done", "content": answered}}
	for _, status := range failures {
		responses[strconv.Itoa(status)] = object{"description": http.StatusText(status), "content": content(object{"$ref": "#/components/schemas/Failure"})}
	}
	described["responses"] = responses
	return described
}

func (r *route) success() int {
	if r.status != 0 {
		return r.status
	}
	return http.StatusOK
}

// resource is what the path is about.
func (r *route) resource() string {
	if strings.HasPrefix(r.path, aliasPath) {
		return "connections"
	}
	return strings.TrimSuffix(strings.Split(r.path, "/")[2], ".json")
}

func (p *parameter) schema() object {
	switch p.kind {
	case flagKind:
		return object{"type": "boolean", "default": false}
	case countKind:
		return object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}
	case choiceKind:
		return object{"type": "string", "enum": p.choices}
	}
	return object{"type": "string"}
}

// TestDocument compares openapi.json with the routes and their types.
func TestDocument(t *testing.T) {
	made, _ := newDocument(t)
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(made); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(document, want.Bytes()) {
		t.Error("openapi.json is not what the routes say; write it anew: go test ./caddymodule/adminapi -update")
	}
}

// Every type that is shown says what it is, and every route what it does.
func TestDocumentIsComplete(t *testing.T) {
	_, s := newDocument(t)
	for _, shown := range s.order {
		if s.aboutType(shown) == "" {
			t.Errorf("%s has no comment", shown)
		}
	}
	for _, r := range routes() {
		if !strings.HasSuffix(r.about, ".") {
			t.Errorf("%s %s: %q is no sentence", r.method, r.path, r.about)
		}
		for _, p := range r.query {
			if !strings.HasSuffix(p.about, ".") {
				t.Errorf("%s %s: %s: %q is no sentence", r.method, r.path, p.name, p.about)
			}
		}
	}
}
