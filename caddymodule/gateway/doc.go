// Package gateway takes a call of an MCP client from the gate to the MCP server,
// and the answer back.
//
// A Call goes through six stages, in the order of Server.ServeHTTP. Each fills
// in its part of the Call or answers the request, and knows nothing of those
// behind it:
//
//	gate     caller    who calls; which of its headers go on            gate.go
//	session  session   the MCP session, if it is the caller's           session.go
//	access              whether they may use what they ask for          access.go, pinned.go
//	account  account   the person's own credential for the server       account.go, signal.go
//	statement           what a server is told, signed, of who calls     session.go
//	forward  answer    to the server, and what comes back from there    forward.go
//
// Pointers lead one way: a Call to the Server it is for, that to the Site, and
// the answer that is being sent to the Server and the caller, not to its Call.
//
// Where things go:
//
//   - A rule about the body itself, such as its size, comes before the body is buffered in
//     ServeHTTP: it has to work for bodies that are held and for those that are
//     streamed, which is all of them where a Server has no Auth.
//   - What is answered in the server's place after the call was sent is an answer
//     of the transport (replace in response.go), not an error: an error would count
//     against the server's health, and be tried again.
//   - Another way to forward, such as to several servers at once, is a Forwarder
//     beside Relay and Proxy, chosen in NewForwarder.
//   - What counts, times or reports calls goes around the stages in ServeHTTP.
//     What people read about a call in Caddy's access log is in record.go.
//   - What a client is told when its person's account is missing is in signal.go.
//   - What is changed about a response is in response.go, about a request in
//     transport.go; what of a list its caller may see, in lists.go.
//
// It decides nothing about OAuth: the gate and the accounts do. It reads no
// configuration: caddymodule does.
package gateway
