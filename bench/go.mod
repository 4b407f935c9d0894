// The benchmark is a module of its own, so that what it alone needs is no
// dependency of the plugin.
module github.com/mcpoauth/caddy-mcp-oauth/bench

go 1.26.0

replace github.com/mcpoauth/caddy-mcp-oauth => ../

require (
	github.com/jackc/pgx/v5 v5.13.0
	github.com/mcpoauth/caddy-mcp-oauth v0.0.0
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.48.0
)

require (
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)
