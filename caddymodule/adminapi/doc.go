// Package adminapi is what an operator can see and end on Caddy's admin endpoint:
// what people approved and connected, and what sites registered themselves as.
//
// API is the module of Caddy's that speaks HTTP. An Operator has what it works
// on, of the configuration that serves now, and knows no HTTP. Neither decides
// anything or keeps anything.
package adminapi
