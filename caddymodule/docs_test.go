package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// fence matches a fenced block of Markdown and its language.
var fence = regexp.MustCompile("(?ms)^```(caddyfile|json)\n(.*?)^```$")

// TestDocumentation adapts every Caddyfile that the documentation shows, as an
// operator would paste it. A JSON block that follows one directly is what it
// adapts to.
func TestDocumentation(t *testing.T) {
	adapted := 0
	for _, page := range documentation(t) {
		t.Run(filepath.Base(page), func(t *testing.T) { adapted += adaptBlocks(t, page) })
	}
	if adapted == 0 {
		t.Fatal("the documentation shows no Caddyfile")
	}
}

// documentation returns the paths of all pages for people.
func documentation(t *testing.T) (pages []string) {
	t.Helper()
	for _, of := range []string{"../*.md", "../docs/*.md", "../docs/decisions/*.md"} {
		found, err := filepath.Glob(of)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: got %v, error %v; want pages", of, found, err)
		}
		pages = append(pages, found...)
	}
	return pages
}

// link matches the target of a link into this repository: a file, a heading, or both.
var link = regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]+))?\)`)

// heading matches the text of a heading of Markdown.
var heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)

// notInAnchors matches what a heading's anchor leaves out.
var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// TestDocumentationLinks follows every link to another file and to a heading.
func TestDocumentationLinks(t *testing.T) {
	for _, page := range documentation(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := page
			if len(m[1]) > 0 {
				target = filepath.Join(filepath.Dir(page), string(m[1]))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor := string(m[2]); anchor != "" && !hasAnchor(t, target, anchor) {
				t.Errorf("%s: %s has no heading #%s", page, target, anchor)
			}
		}
	}
}

// hasAnchor reports whether a page has the heading, by its anchor.
func hasAnchor(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range heading.FindAllSubmatch(text, -1) {
		name := notInAnchors.ReplaceAllString(strings.ToLower(string(m[1])), "")
		if strings.ReplaceAll(name, " ", "-") == anchor {
			return true
		}
	}
	return false
}

func adaptBlocks(t *testing.T, page string) (adapted int) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var config []byte // of the Caddyfile just read
	for _, at := range fence.FindAllSubmatchIndex(text, -1) {
		language, block := string(text[at[2]:at[3]]), text[at[4]:at[5]]
		line := strings.Count(string(text[:at[4]]), "\n")
		if language == "caddyfile" {
			config = adapt(t, page, line, block)
			adapted++
			continue
		}
		if config != nil {
			compareJSON(t, page, line, config, block)
		}
		config = nil
	}
	return adapted
}

// adapt returns the JSON of a Caddyfile that begins after the line of the page.
func adapt(t *testing.T, page string, line int, block []byte) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(block, map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Errorf("%s:%d: %v", page, line, err)
	}
	for _, w := range warnings { // also of formatting
		t.Errorf("%s:%d: %s", page, line+w.Line, w.Message)
	}
	return config
}

func compareJSON(t *testing.T, page string, line int, config, block []byte) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal(block, &want); err != nil {
		t.Errorf("%s:%d: %v", page, line, err)
		return
	}
	if err := json.Unmarshal(config, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		pretty, _ := json.MarshalIndent(got, "", "  ")
		t.Errorf("%s:%d: the Caddyfile above adapts to\n%s", page, line, pretty)
	}
}
