// Package consent is everything a browser sees: the pages of a flow, which ask
// who the person is and what the client may do, the pages on which people
// connect upstream servers and look after what they let in, and the page that
// says what went wrong.
//
// It walks a person through a flow of an server.AuthorizationServer, and to the
// providers of an accounts.Broker. Each page is a type with what it needs; New
// puts them together. Package pages has the templates, the words and the looks.
//
// It never decides what may be granted, never stores anything, and never runs
// a script: all pages work with HTML forms alone. What a client says of itself
// appears as cleaned, clearly marked text, never as a link or an image; what a
// provider says does not appear at all.
//
//	GET  /oauth/consent       known already? ─▶ 303 to the next page
//	                          who are you? ─▶ POST consent/<form of an identity.Method> ─▶ 303
//	                          └ of one that redirects ─▶ 303 there ─▶ GET /oauth/login/callback/<form> ─▶ 303
//	GET  /oauth/consent/mcps  what may it do? ─▶ POST upstream/authorize ─▶ 303 to a provider, or to the key page
//	                          └────────────────▶ POST consent/submit
//	                            approve | deny ─▶ 303 to the client
//	                            no server chosen, or a required one not connected ─▶ 303 back
//	GET  /api/oauth/callback  a provider's answer ─▶ 303 to the page the person left from
//	GET  /oauth/connect/…     a link from a client: connect one server, as the person it was made for
//	GET  /oauth/account       sign in ─▶ connections and grants: connect, disconnect, revoke, sign out
//
// Forms of a flow are bound to the flow's cookie, all others to the browser
// session, and a request to connect to a cookie of its own that is set when
// the person has agreed to it.
package consent
