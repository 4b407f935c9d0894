// The benchmark is a module of its own, so that what it alone needs is no
// dependency of the plugin.
module github.com/mcpoauth/caddy-mcp-oauth/bench

go 1.26.0

require (
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.48.0
)
