// Package doctor examines an MCP server from outside, as clients meet it: it
// plays the order of discovery, registration and sign-in of each known family
// of clients, and says how far each would come and what is in its way.
//
// It owns: the families of clients, the requests that they make, what the
// standards say about the answers, and the words for what is wrong and how to
// mend it. It judges by the standards, not by what this project's own OAuth
// client puts up with.
//
// It never changes what it examines beyond what it takes back: a client that it
// registers is deleted where the server offers that (RFC 7592), a session that it
// opens is ended. It never repeats a credential, and whatever a server wrote is
// shortened and made printable before it is told. It knows neither Caddy nor this
// site's configuration.
//
//	Examine ─▶ for each family: challenge ─▶ resource metadata ─▶ provider metadata
//	                            ─▶ registration ─▶ authorization ─▶ token ─▶ calls
//	           what one family asked is not asked again for the next
//	        ─▶ what no family asks: who is redirected, what a wrong token gets
//	        ─▶ take back what was made
//	Report  ─▶ findings, each of a Kind in the catalogue; how far each family came
package doctor
