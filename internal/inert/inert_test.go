package inert

import (
	"encoding/json"
	"html"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHTML(t *testing.T) {
	for page, want := range map[string]string{
		`<p title="{{env}}">{{env "X"}} ${x} [[x]] [::1]</p>`:   `<p title="&#123;&#123;env}}">&#123;&#123;env "X"}} $&#123;x} &#91;&#91;x]] [::1]</p>`,
		`<title>{{x}}</title><style>:root{a:b}</style><p>{{x}}`: `<title>&#123;&#123;x}}</title><style>:root{a:b}</style><p>&#123;&#123;x}}`,
		`<style>{{x}}`:                `<style>&#123;&#123;x}}`,
		`{</style><style>{</style>{`:  `&#123;</style><style>{</style>&#123;`,
		`<style>a{}</style><style>{{`: `<style>a{}</style><style>&#123;&#123;`,
		``:                            ``,
	} {
		if got := string(HTML([]byte(page))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	for document, want := range map[string]string{
		`{"a":["{{env \"X\"}}"],"b":{}}`: `{"a":["\u007b\u007benv \"X\"}}"],"b":{}}`,
		`{"{{k}}":"\\{{x"}`:              `{"\u007b\u007bk}}":"\\\u007b\u007bx"}`,
		`"\"[[x]] [::1]"`:                `"\"\u005b[x]] [::1]"`,
		`"plain"`:                        `"plain"`,
	} {
		if got := string(JSON([]byte(document))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Who reads an answer reads what was written.
func TestMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune(`{}[]\"$%<`)), rapid.Rune())).Draw(t, "words")
		document, err := json.Marshal(map[string]any{words: []any{words, map[string]any{"x": words}}})
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		out := JSON(document)
		if err := json.Unmarshal(document, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if a, b := mustMarshal(t, want), mustMarshal(t, got); a != b {
			t.Fatalf("got %s, want %s", b, a)
		}
		if strings.Contains(string(out), "{{") || strings.Contains(string(out), "${") || strings.Contains(string(out), "[[") {
			t.Fatalf("a template: %s", out)
		}
		escaped := html.EscapeString(words)
		if got := html.UnescapeString(string(HTML([]byte(escaped)))); got != html.UnescapeString(escaped) {
			t.Fatalf("got %q, want %q", got, words)
		}
	})
}

func mustMarshal(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
