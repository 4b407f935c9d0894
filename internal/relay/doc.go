// Package relay hands a request on to a server, and what the server answers back to
// the client, as Caddy's reverse_proxy does without options: the same headers, the
// same framing, the same moments at which something is passed on. It does so with
// less work, since there are no options.
//
// It speaks no HTTP: reading and writing messages is net/http's. It does not know
// Caddy, nor MCP, nor where the server is: its caller makes the round trip.
//
// What differs from reverse_proxy is meant, and all there is:
//
//   - A response with status 101, or with one that is none, is an error before
//     anything was answered. Nobody asks for another protocol here.
//   - Trailers end here in both directions, and so does a client's TE.
package relay
