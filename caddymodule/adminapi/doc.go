// Package adminapi is what operators and their programs can see and end on Caddy's
// admin endpoint: what people approved and connected, their keys, the clients, and
// what sites registered themselves as.
//
// API is the module of Caddy's that speaks HTTP. Each thing that can be asked for is
// a route, a row in the table of its resource: by these rows requests are told apart
// and checked, and openapi.json and docs/admin-api.md are made of them. An Operator
// has what routes work on, of the configuration that serves now. Nothing is decided
// or kept here.
package adminapi
