// Package headers decides which headers cross between the clients of a site and
// the MCP servers behind it: of a request only what describes it, or what an
// operator names; of a response all but what would speak for the site.
//
// It never sets a header. Which names an operator may let in is for the
// configuration to check.
package headers
