// Package mcpoauth compiles the mcp_oauth plugin into Caddy: import it, or
// pass this module to xcaddy. All code is in the packages below.
package mcpoauth

import _ "github.com/mcpoauth/caddy-mcp-oauth/caddymodule"
