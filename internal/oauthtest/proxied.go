package oauthtest

import (
	"os"
	"regexp"
	"strings"
)

var (
	serverLine = regexp.MustCompile(`^\s*server\s`)
	proxyLine  = regexp.MustCompile(`^\s*proxy\s`)
)

// AllProxied says that the tests of this process are to run over Caddy's reverse_proxy
// where nothing else is said: with MCP_OAUTH_TEST_FORWARDER=reverse_proxy.
var AllProxied = os.Getenv("MCP_OAUTH_TEST_FORWARDER") == "reverse_proxy"

// Proxied gives each server in the text of a Caddyfile that has no proxy block an empty
// one, by which Caddy's reverse_proxy forwards its calls.
func Proxied(caddyfile string) string {
	var b strings.Builder
	lines := strings.Split(caddyfile, "\n")
	for i, line := range lines {
		opens := strings.HasSuffix(strings.TrimRight(line, " \t\r"), "{")
		switch {
		case !serverLine.MatchString(line):
		case !opens:
			line += " {\nproxy {\n}\n}"
		case !hasProxy(lines[i+1:]):
			line += "\nproxy {\n}"
		}
		b.WriteString(line)
		if i < len(lines)-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// hasProxy reports whether the block that the lines go on with has a proxy block.
func hasProxy(lines []string) bool {
	depth := 1
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case depth == 1 && proxyLine.MatchString(line):
			return true
		case strings.HasSuffix(trimmed, "{"):
			depth++
		case trimmed == "}":
			depth--
		}
		if depth == 0 {
			return false
		}
	}
	return false
}
