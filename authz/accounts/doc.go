// Package accounts is about people's accounts at the MCP servers behind the
// site: it connects them, gives calls their credentials, and ends them.
//
// It owns: the connections in the store and how they are sealed; what this site
// is registered as at each provider (with package client, which speaks the
// protocol); the way of a browser to a provider and back; the keys that people
// paste; the refresh of tokens, and their revocation.
//
// It never renders a page, never sees a client's token, and never proxies a
// call. What it returns to be shown is a fixed code, never a provider's words.
//
// A Broker is put together of parts, each with what it needs of the others:
//
//	connector    Start ─▶ find the provider, be a client there ─▶ state, verifier, issuer recorded ─▶ URL for the browser
//	             Finish ─▶ claim the state ─▶ browser, path, iss ─▶ exchange the code ─▶ connection
//	             ConnectHeaders ─▶ try the key on the server ─▶ connection
//	registrar    what we are at a provider: the operator's client, our metadata document, or a registration
//	connections  Adopt: a flow's connections, sealed for who they will belong to; Disconnect: gone here, queued there
//	vault        Credential: what to put on a call, from memory; Refused: what to try when the server answered 401
//	refresher    new tokens, once, ahead of their end
//	revoker      the queue of what providers are to revoke; RevokeDue works it off
//	statuses     Status: a person's connections; Overviews: everybody's, for an operator
//
// What the brokers of a process share (the cache of opened connections, refreshes
// that are under way) is in Shared, since a reload has two brokers at work.
package accounts
