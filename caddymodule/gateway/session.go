package gateway

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// openSession is the stage of the session. It finds the MCP session that a request is
// in, if any, and gives the request the upstream's id of it for the client's. It
// reports whether the session is the caller's; else it answers.
func (c *Call) openSession(w http.ResponseWriter, r *http.Request) (ok bool) {
	header := c.request.header
	ids := header[mcp.HeaderSessionID]
	switch {
	case len(ids) == 0:
		return true
	case !mcp.HasSessions(header.Get(mcp.HeaderProtocolVersion)):
		delete(header, mcp.HeaderSessionID)
		return true
	}
	if c.session, ok = c.server.Site.Sessions.Unwrap(c.caller.Holder, c.server.ID, ids[0]); !ok {
		c.noSession(w, r)
		return false
	}
	ids[0] = c.session.ID
	return true
}

// isInSessionOf reports whether the call can go on with an account, or without
// one if epoch is empty: a session that was opened with another account is none
// of this one (P-11).
func (c *Call) isInSessionOf(epoch string) bool {
	return c.session.ID == "" || c.session.OpenedWith(epoch)
}

// wrapSession returns the session id to give to the client for the upstream's.
func (c *Call) wrapSession(id string) string {
	sessions := c.server.Site.Sessions
	if c.account.credential == nil {
		return sessions.Wrap(c.caller.Holder, c.server.ID, id)
	}
	// It is an initialize that opens a session.
	request := c.request.parsed()
	urls := request != nil && request.URLElicitation || c.session.URLElicitation
	return sessions.WrapLinked(c.caller.Holder, c.server.ID, id, c.account.credential.Epoch, urls)
}

// noSession answers for a session that is none of the caller's, or was ended:
// the client opens a new one.
func (c *Call) noSession(w http.ResponseWriter, r *http.Request) {
	c.server.reject(w, r, c, http.StatusNotFound, "no_session", "There is no such session; initialize a new one.")
}

// makeStatement is the stage of the statement, for servers that want to be told who calls
// under our signature. It reports whether the call goes on: without the statement it
// does not.
func (c *Call) makeStatement(w http.ResponseWriter, r *http.Request) bool {
	if c.server.IdentityJWT == "" {
		return true
	}
	var err error
	if c.statement, err = c.server.Site.Statements.Values(r.Context(), c.caller, c.server.Configured()); err != nil {
		answer := oauth.Unavailable(err)
		happened := answer.Event(event.CallFailed)
		happened.Kind, happened.Reason = event.CallFailed, "statement_unsigned"
		answer.Answer(w, c.server.refer(r, c, happened))
		return false
	}
	return true
}
