package gateway

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/requestbody"
)

// Call is one request to an MCP server, with what the stages found out.
type Call struct {
	server  *Server
	caller  *tokens.Caller
	chosen  *access.Chosen // what the person lets the client use of the server
	request request
	session mcp.Session
	judged  *judged // nil if the caller may use everything
	account account
	// statement is the values of the header that tells the server who calls, which
	// calls share; nil if it has none.
	statement []string
	target    *target // nil until it is on its way
	hop       hop     // of a Relay, which as a part of the call costs no allocation
	own       bool    // the site itself makes it, see SendOwn
	client    http.ResponseWriter
	answer    stream // which as a part of the call costs no allocation
}

// request is what the client sent.
type request struct {
	header http.Header      // what of it goes on
	body   requestbody.Body // empty unless something here looks into it
}

// parsed returns what the body asks for, or nil if that cannot be told.
func (r *request) parsed() *mcp.Request {
	parsed, err := mcp.ParseRequest(r.body.Bytes())
	if err != nil {
		return nil
	}
	return parsed
}

// callKey is where the call travels in Caddy's table of variables: it costs no
// new context.
const callKey = "mcp_oauth.call"

// callOf returns the call that a request belongs to, or nil.
func callOf(ctx context.Context) *Call {
	c, _ := caddyhttp.GetVar(ctx, callKey).(*Call)
	return c
}
