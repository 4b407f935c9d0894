// Package routes says what answers at which path of a site: a page, an OAuth
// endpoint, an MCP server, or an account of people at one.
//
// Which accounts people have, it does not know: a path that one could have answers as
// every other, so that nobody learns by it who has which. Paths are compared as they
// are: no pattern and no normalisation that an attacker could play with.
package routes
