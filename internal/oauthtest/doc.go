// Package oauthtest has fakes for tests of both OAuth sides, as net/http/httptest
// has them for HTTP: honest by default, and made hostile by a test.
//
// It knows no package of this module, and is never part of the built program.
package oauthtest
