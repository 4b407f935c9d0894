// Package oidc lets people sign in at an OpenID Connect provider.
//
// It owns what OpenID Connect adds to OAuth: discovery, nonces, ID tokens, the
// UserInfo endpoint, what claims mean, logout tokens. The requests to the token
// endpoint are authz/client's. A Provider is one that a site is configured with;
// a Directory keeps, for the whole process, what providers say about themselves.
//
// Discovery is not that of authz/client, which looks for the provider of an MCP
// server in several places and is lenient with what it finds. Here the operator
// named the issuer, and who people are rests on it: the document is at the one
// place that OpenID Connect Discovery section 4 gives, and names exactly that
// issuer.
//
// A person is the sub of an ID token, at an issuer. Nothing else of what a
// provider says, an e-mail address least of all, ever makes somebody another
// person.
package oidc
