package consent

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// goal is a connection that a person wants.
type goal struct {
	upstream       *accounts.Server
	server         authz.Server
	who            string // counts attempts: a flow's ID or a subject
	owner          string
	scopes         []string
	keepUntil      time.Time
	authentication storage.Authentication
	once           storage.Hash
	lastDisconnect uint64 // when the link with once was made
	returnTo       string // the page they left from
	keyPage        string // where they paste keys
}

// depart sends a person who agreed on our page to the provider, or to the page
// where they paste a key.
//
// Only now the browser gets the cookie that the provider's answer must come
// with: each trip has its own, so that nobody can finish one that was begun
// elsewhere, or before the person agreed.
func (c *Consent) depart(w http.ResponseWriter, r *http.Request, g goal) error {
	if g.upstream.Mode == accounts.PerUserHeaders {
		c.redirect(w, g.keyPage)
		return nil
	}
	if !c.as.AllowTrip(r, g.who) {
		return refuse(http.StatusTooManyRequests, c.pages.text.TooManyTrips).backTo(g.returnTo)
	}
	secret := newTripSecret(g.authentication.Identity)
	target, err := c.broker.Begin(r.Context(), accounts.Trip{
		Server: g.server.ID, Owner: g.owner, Browser: storage.HashOf(secret),
		ReturnTo: g.returnTo, Scopes: g.scopes, KeepUntil: g.keepUntil, Authentication: g.authentication, Once: g.once, LastDisconnect: g.lastDisconnect,
	})
	if err != nil {
		return c.comeBack(w, g.returnTo, err)
	}
	provider, err := url.Parse(target)
	if err != nil {
		return err
	}
	c.setTripCookie(w, provider.Query().Get("state"), secret, tripCookieLifetime)
	c.redirect(w, target)
	return nil
}

// arrive sends a person who connected a server back to the page that they left
// from. If that was the page of a link, whoever gave them the link is told.
func (c *Consent) arrive(w http.ResponseWriter, returnTo string) {
	path, _, _ := strings.Cut(returnTo, "?")
	if ticket, ok := strings.CutPrefix(path, authz.ConnectPath); ok {
		c.linkServed(ticket)
	}
	c.redirect(w, returnTo)
}

// linkServed tells whoever gave a person a link that what it is for is
// connected.
func (c *Consent) linkServed(ticket string) {
	if c.linkUsed != nil {
		c.linkUsed(ticket)
	}
}

// comeBack shows the page that the person left from with what went wrong, if
// it is known where they came from.
func (c *Consent) comeBack(w http.ResponseWriter, returnTo string, err error) error {
	var p *accounts.Error
	if !errors.As(err, &p) {
		return c.explain(err).backTo(returnTo)
	}
	if returnTo == "" {
		return err
	}
	id := oauth.NewCorrelationID()
	log := c.log.Debug
	if p.Problem.NeedsOperator() {
		log = c.log.Warn
	}
	log("connecting an upstream server failed", zap.String("correlation_id", id),
		zap.String("problem", string(p.Problem)), zap.NamedError("cause", p.Cause))
	c.redirect(w, withProblem(returnTo, p.Problem, id))
	return nil
}

// withProblem returns a path of ours with what went wrong.
func withProblem(path string, p accounts.Problem, reference string) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + url.Values{"error": {string(p)}, "ref": {reference}}.Encode()
}
