package faults

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/known-faults.md anew")

const documentation = "../../docs/known-faults.md"

// TestDocumentation compares docs/known-faults.md with the catalogue.
func TestDocumentation(t *testing.T) {
	want := document()
	if *update {
		if err := os.WriteFile(documentation, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the catalogue says; write it anew: go test ./authz/faults -run TestDocumentation -update", documentation)
	}
}

// document is the catalogue as a page, by who has to change something.
func document() string {
	var b strings.Builder
	b.WriteString(`<!-- Written by: go test ./authz/faults -run TestDocumentation -update -->

# Known faults

What [` + "`caddy mcp-oauth why`" + `](why.md) recognizes by itself, by who has to change something. The name of each is what the answer calls *known as*.
`)
	for _, party := range []struct {
		at    Party
		title string
	}{
		{Client, "The client"}, {Provider, "The provider"}, {Person, "The person"}, {Operator, "You, who run the site"}, {Us, "This software"},
	} {
		faults := slices.DeleteFunc(slices.Clone(All), func(f *Fault) bool { return f.At != party.at })
		if len(faults) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| | what happens | what to do |\n|---|---|---|\n", party.title)
		for _, f := range faults {
			name := "`" + f.ID + "`"
			if f.Link != "" {
				name = fmt.Sprintf("[%s](%s)", name, f.Link)
			}
			about := asDocumented(f.What)
			if why := asDocumented(f.Why); why != "" && !strings.Contains(why, "…") {
				about += " " + why
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, about, asDocumented(f.Fix))
		}
	}
	return b.String()
}

// asDocumented puts a text into words that are about nobody in particular.
func asDocumented(text string) string {
	text = strings.NewReplacer(
		"the MCP server {server}", "the MCP server", "the server {server}", "the MCP server", "the address {address}", "one address",
		"its origin {origin}", "its origin", ": allowed_origins {origin}", ".", "{client}", "the client", "{person}", "the person", "{server}", "the MCP server", "{provider}", "the provider",
		"{origin}", "of a web page", "{address}", "an address", "{site}", "https://mcp.example.com", "{id}", "SERVER", "{whom}", "PERSON",
		": {cause}", "", ": {detail}", "", " (“{detail}”)", "", "{cause}", "…", "{detail}", "…", "{event}", "…", "|", "\\|", "<", "&lt;",
	).Replace(strings.TrimSpace(text))
	if strings.HasPrefix(text, "the ") {
		text = "T" + text[1:]
	}
	return strings.ReplaceAll(text, ". the ", ". The ")
}
