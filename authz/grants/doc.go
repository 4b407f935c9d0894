// Package grants is what people approved: which MCP servers an identity may use
// by the configuration, what a grant is still good for, and what ends it.
//
// It never makes a token, and never asks who somebody is.
package grants
