package caddymodule

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// errNotKept tells that a call would work now, but its body was too large to
// be kept for another try.
var errNotKept = errors.New("mcp_oauth: the body of the call was not kept")

// errOtherAccount tells that the person connected another account while the
// call was under way: the session it belongs to is not of that one (P-11).
var errOtherAccount = errors.New("mcp_oauth: the session was opened with another account")

// receivedConnected prepares an upstream's response to a call with somebody's
// account. What the upstream says about that account is for the gateway: its
// challenges and the bodies that go with them never reach the client.
func (t *transport) receivedConnected(req *http.Request, res *http.Response, c *connectedCall) (*http.Response, error) {
	if res.StatusCode == http.StatusUnauthorized {
		_ = res.Body.Close()
		again, refusal, err := t.sendAgain(req, c)
		if err != nil {
			return nil, err
		}
		if refusal != nil {
			return replaced(res, func(w http.ResponseWriter) { c.refuse(w, req, refusal) }), nil
		}
		res = again
	}
	if res.StatusCode == http.StatusForbidden && c.connection.Mode != accounts.PerUserHeaders {
		if challenge := oauth.ParseChallenge(res.Header); challenge.InsufficientScope {
			_ = res.Body.Close()
			return replaced(res, func(w http.ResponseWriter) { c.refuseScope(w, req, challenge.Scopes) }), nil
		}
	}
	if res.StatusCode == http.StatusForbidden { // of a server with pasted keys: its scopes are ours
		if answer := c.stepUp(req, res); answer != nil {
			return answer, nil
		}
	}
	res = t.received(res, &c.call)
	c.body.taken()
	return res, nil
}

// sendAgain sends a call that was answered with 401 once more, with another
// credential. The 401 says that the call was not processed. refusal is why
// there is no answer for the client. A second 401 says no more of the account
// than the first: it is the call's.
func (t *transport) sendAgain(req *http.Request, c *connectedCall) (_ *http.Response, refusal, _ error) {
	fresh, err := c.site.broker.Refused(req.Context(), c.caller.Identity.Subject, c.upstream.id, c.credential)
	if err != nil {
		return nil, err, nil
	}
	if c.session.ID != "" && !c.session.OpenedWith(fresh.Link) {
		return nil, errOtherAccount, nil
	}
	body, kept := c.body.again()
	if !kept {
		return nil, errNotKept, nil
	}
	c.credential = fresh
	retry := *req
	retry.Body = body
	res, err := t.send(&retry, &c.call)
	if err != nil {
		return nil, nil, err
	}
	if res.StatusCode == http.StatusUnauthorized {
		_ = res.Body.Close()
		c.site.log.Warn("the MCP server refuses a credential that has just been renewed", zap.String("server", c.upstream.id))
		return nil, accounts.ErrRefused, nil
	}
	return res, nil, nil
}
