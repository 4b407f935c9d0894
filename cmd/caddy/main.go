// Command caddy is Caddy with the mcp_oauth plugin, and with the small MCP
// server that Caddyfile.example puts behind it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/mcpoauth/caddy-mcp-oauth"
	_ "github.com/mcpoauth/caddy-mcp-oauth/cmd/caddy/exampleserver"
)

func main() { caddycmd.Main() }
