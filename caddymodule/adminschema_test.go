package caddymodule

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const openAPI = "adminapi/openapi.json"

// describedAPI is the OpenAPI document of the admin API. The schemas in it are JSON
// Schema.
var describedAPI = sync.OnceValues(func() (*jsonschema.Compiler, map[string]any) {
	file, err := os.Open(openAPI)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		panic(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(openAPI, document); err != nil {
		panic(err)
	}
	return compiler, document.(map[string]any)["paths"].(map[string]any)
})

// checkAnswer compares an answer of the admin API with what the document says of
// it: the path is known, the status is one of its own, and the answer has the form.
// What has no operation was refused.
func checkAnswer(t *testing.T, method, path string, status int, answer string) {
	t.Helper()
	compiler, paths := describedAPI()
	path, _, _ = strings.Cut(path, "?")
	pointer := func(parts ...string) string {
		for i, part := range parts {
			parts[i] = url.PathEscape(strings.ReplaceAll(strings.ReplaceAll(part, "~", "~0"), "/", "~1"))
		}
		return openAPI + "#/" + strings.Join(parts, "/")
	}
	for pattern, operations := range paths {
		operation, there := operations.(map[string]any)[strings.ToLower(method)].(map[string]any)
		if !there || !matches(pattern, path) {
			continue
		}
		if _, known := operation["responses"].(map[string]any)[strconv.Itoa(status)]; !known {
			t.Errorf("%s %s answers %d, which %s does not say of it: %s", method, path, status, openAPI, answer)
			return
		}
		schema, err := compiler.Compile(pointer("paths", pattern, strings.ToLower(method), "responses", strconv.Itoa(status), "content", "application/json", "schema"))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(answer))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Errorf("%s %s answers what %s says otherwise: %v\n%s", method, path, openAPI, err, answer)
		}
		return
	}
	if status < 400 {
		t.Errorf("%s %s is not in %s, and answers %d: %s", method, path, openAPI, status, answer)
	}
}

// matches reports whether a path is one of a pattern.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i, part := range want {
		if part != got[i] && !strings.HasPrefix(part, "{") {
			return false
		}
	}
	return true
}
