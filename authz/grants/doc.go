// Package grants is what people approved: which MCP servers an identity may use
// by the configuration, what a grant is still good for, and what ends it.
//
// Policy.Admits is the one rule by which a token or grant is good at a server;
// packages authz/gate and, through Validator, the endpoints of authz/server
// follow it.
//
// It never makes a token, and never identifies a person.
package grants
