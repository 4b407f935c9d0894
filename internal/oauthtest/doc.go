// Package oauthtest has fakes for tests of both OAuth sides, as net/http/httptest
// has them for HTTP: honest by default, and made hostile by a test.
//
//   - Provider is the authorization server of an upstream;
//   - IdentityProvider is an OpenID Connect provider that people sign in with;
//   - MCPServer is an MCP server that takes its tokens;
//   - Browser walks pages, and Page is what it shows;
//   - Host is a web server of pages, which the first two are made of;
//   - Clock is a time that a test moves.
//
// It knows no other package of this module, and is never part of the built
// program.
package oauthtest
