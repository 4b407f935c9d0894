package accounts

import "github.com/mcpoauth/caddy-mcp-oauth/authz/client"

// Why connecting failed, besides what our OAuth client runs into. An error that
// is no client.Error came from the store.
const (
	// UnknownServer: there is no such server, or it is not connected this way.
	UnknownServer client.Problem = "unknown_server"
	// RequestEnded: the answer belongs to no pending request: it came late, or twice.
	RequestEnded client.Problem = "trip_ended"
	// OtherBrowser: the answer came in another browser than the request.
	OtherBrowser client.Problem = "other_browser"
	// Left: the person who began has signed out since, was signed out, or somebody
	// else is signed in now.
	Left client.Problem = "left"
	// Replaced: meanwhile the service was connected in another way.
	Replaced client.Problem = "replaced"
	// WrongKey: the server does not take the pasted key.
	WrongKey client.Problem = "wrong_key"
)
