// Package egress makes the outgoing requests whose address others chose:
// client ID metadata documents and the key sets they name, and whatever an
// upstream server says about its provider.
//
// It owns where such a request may go and how much of a document is read.
// It never follows a redirect, uses a proxy of the environment, keeps a
// connection, adds credentials, or judges what a document says.
//
//	URL ─▶ CheckURL: scheme, host, port ─▶ resolve ─▶ each address, as it is dialled ─▶ TLS ─▶ capped answer
//
// The address is judged in the dialer, after name resolution and for each
// attempt, so a name that changes its mind between two look-ups gains nothing.
package egress
