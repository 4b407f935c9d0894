package landing

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Client is how a server is added to one application. What stands in Before and
// After between backticks is to be typed or looked for as it is.
type Client struct {
	Name   string
	Before string
	Copy   string // the command or the configuration, if there is one
	After  string
}

// Clients returns how the server of that id and URL is added to each of the
// applications that people use. docs/clients.md has the same table.
func Clients(id, url string) []Client {
	return []Client{
		{Name: "Claude Code", Copy: AddToClaudeCode(id, url), After: "then `/mcp` to sign in"},
		{Name: "Claude (web, desktop, mobile)", Before: "Settings → Connectors → Add custom connector. The site must be reachable from the internet"},
		{Name: "ChatGPT", Before: "Settings → Apps → Advanced settings → Developer mode, then Create app with the URL and OAuth. The site must be reachable from the internet"},
		{Name: "Cursor", Before: "in `~/.cursor/mcp.json`", Copy: fmt.Sprintf(`{"mcpServers": {"%s": {"url": "%s"}}}`, id, url)},
		{Name: "VS Code", Copy: fmt.Sprintf(`code --add-mcp '{"name":"%s","type":"http","url":"%s"}'`, id, url)},
		{Name: "Codex", Copy: fmt.Sprintf("codex mcp add %s --url %s", id, url), After: fmt.Sprintf("then `codex mcp login %s`", id)},
		{Name: "Gemini CLI", Copy: fmt.Sprintf("gemini mcp add --transport http %s %s", id, url), After: fmt.Sprintf("then `/mcp auth %s`", id)},
		{Name: "Windsurf", Before: "in `~/.codeium/windsurf/mcp_config.json`", Copy: fmt.Sprintf(`{"mcpServers": {"%s": {"serverUrl": "%s"}}}`, id, url)},
		{Name: "goose", Before: "`goose configure` → Add Extension → Remote Extension (Streamable HTTP)"},
		{Name: "Clients that only start local programs", Before: "let it start", Copy: "npx mcp-remote " + url},
	}
}

// AddToClaudeCode returns the command that adds the server to Claude Code.
func AddToClaudeCode(id, url string) string {
	return "claude mcp add --transport http " + id + " " + url
}

// segment is a part of a text.
type segment struct {
	Text string
	Code bool // to be typed or looked for as it is
}

// segments parts a text at its backticks, and begins it like a sentence.
func segments(text string) []segment {
	var all []segment
	for i, part := range strings.Split(text, "`") {
		if i == 0 {
			first, size := utf8.DecodeRuneInString(part)
			part = strings.TrimSuffix(string(unicode.ToUpper(first))+part[size:], string(utf8.RuneError))
		}
		if part != "" {
			all = append(all, segment{part, i%2 == 1})
		}
	}
	return all
}
