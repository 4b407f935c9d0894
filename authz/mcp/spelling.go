package mcp

import "github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"

// methods are those that use an item, list items, or tell which there are, and
// "initialize", which has no headers.
var methods = func() map[string]string {
	known := map[string]string{}
	for _, m := range []string{
		"initialize", "server/discover", Subscribe,
		"tools/list", "tools/call", "prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
		"completion/complete",
	} {
		known[spelling.Skeleton(m)] = m
	}
	return known
}()

// isSpeltAsKnown reports whether a method is none of those known, or written exactly
// as MCP does.
func isSpeltAsKnown(method string) bool {
	switch method {
	case "tools/call", "tools/list": // most of them
		return true
	}
	known, ok := methods[spelling.Skeleton(method)]
	return !ok || known == method
}
