// Package consent is everything a browser sees: the page that asks who the
// person is, the page that asks what the client may do, the forms of both, and
// the page that says what went wrong.
//
// It owns words, looks, and the headers that keep a page from being framed,
// scripted, cached or leaked through a referrer. Pages renders and knows
// nothing of OAuth; Consent walks a person through a flow of an
// authz.AuthorizationServer.
//
// It never decides what may be granted, never stores anything, and never runs
// a script: all pages work with HTML forms alone. What a client says of itself
// appears as cleaned, clearly marked text, never as a link or an image.
//
//	GET  /oauth/consent       who are you? ─▶ POST consent/vk | user-id | skip | caddy ─▶ 303
//	GET  /oauth/consent/mcps  what may it do? ─▶ POST consent/submit
//	                            approve | deny ─▶ 303 to the client
//	                            no server chosen ─▶ 303 back
package consent
