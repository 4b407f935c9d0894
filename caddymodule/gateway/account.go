package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// account is what a call carries of somebody's account at the MCP server.
type account struct {
	credential *accounts.Credential // nil for a server without accounts
	round      mcp.Round            // what a retry says about an input request of ours
}

// errBodyNotKept says that a call would work now, but its body was too large to
// be kept for another try.
var errBodyNotKept = errors.New("mcp_oauth: the body of the call was not kept")

// errOtherAccount says that the person connected another account while the call
// was under way: the session it belongs to is not of that one (P-11).
var errOtherAccount = errors.New("mcp_oauth: the session was opened with another account")

// findAccount is the stage of the account. It finds the credential that the call carries
// to the server, or tells the client what is missing. It reports whether the
// call goes on.
func (c *Call) findAccount(w http.ResponseWriter, r *http.Request) bool {
	epoch := ""
	if c.server.Auth != nil {
		if !c.takeState(w, r) {
			return false
		}
		var err error
		if c.account.credential, err = c.server.Site.Accounts.Credential(r.Context(), c.caller.Identity.Subject, c.server.ID); err != nil {
			newSignal(c, w, r).noCredential(err)
			return false
		}
		epoch = c.account.credential.Epoch
		if c.judged != nil {
			if missing := scopesMissing(c); missing != nil {
				askForScopes(c, w, r, missing.scopes)
				return false
			}
		}
	}
	if !c.isInSessionOf(epoch) {
		c.noSession(w, r)
		return false
	}
	return true
}

// renewAccount replaces a credential that the server refused. It returns the
// body to be sent again with the new one; without an error there is one.
func (c *Call) renewAccount(r *http.Request) (body io.ReadCloser, err error) {
	fresh, err := c.server.Site.Accounts.Refused(r.Context(), c.caller.Identity.Subject, c.server.ID, c.account.credential)
	if err != nil {
		return nil, err
	}
	if !c.isInSessionOf(fresh.Epoch) {
		return nil, errOtherAccount
	}
	body, kept := c.request.body.Again()
	if !kept {
		return nil, errBodyNotKept
	}
	c.account.credential = fresh
	return body, nil
}

// takeState removes our request state from a retry. It reports whether the
// request goes on.
func (c *Call) takeState(w http.ResponseWriter, r *http.Request) bool {
	body := c.request.body.Bytes()
	if mcp.HasSessions(r.Header.Get(mcp.HeaderProtocolVersion)) || !mcp.MayCarry(body) {
		return true
	}
	request, err := mcp.ParseRequest(body)
	if err != nil {
		return true // then it cannot be ours
	}
	if c.rejectMismatch(w, r, request) {
		return false
	}
	forward, round, err := c.server.Site.States.Take(c.asked(), request, time.Now().Add(c.server.Site.Ahead()))
	if err != nil {
		mcp.WriteInvalidState(w, request, c.server.refer(r, c, event.Event{
			Kind: event.CallRefused, Reason: "other_request_state", Detail: "The request state was made for another request.", Err: err,
		}))
		return false
	}
	if forward != nil {
		c.request.body.Replace(r, forward)
	}
	c.account.round = round
	return true
}

// asked is whom a request state of ours is for.
func (c *Call) asked() mcp.Asked {
	id := &c.caller.Identity
	return mcp.Asked{Subject: id.Subject, Proof: id.Proof, ClientID: c.caller.ClientID, Server: c.server.ID}
}

// rejectMismatch answers a request whose headers say something else than its
// body, from which it would be answered (P-2). It reports whether it did.
func (c *Call) rejectMismatch(w http.ResponseWriter, r *http.Request, request *mcp.Request) bool {
	if request == nil || request.MatchesHeaders(c.request.header) {
		return false
	}
	mcp.WriteHeaderMismatch(w, request, c.server.refer(r, c, event.Event{
		Kind: event.CallRefused, Reason: "header_mismatch", Detail: "The headers of the request do not say what its body says.",
	}))
	return true
}

// awaitsNotification reports whether the client may be told, on a stream of this
// session, that its person has connected the server.
func (c *Call) awaitsNotification() bool {
	return c.server.Auth != nil && c.session.URLElicitation && c.request.header.Get(mcp.HeaderProtocolVersion) >= mcp.November2025
}
