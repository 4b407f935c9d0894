package gateway

import (
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/audit"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/openlinks"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Site is what the MCP servers of one site share.
type Site struct {
	Issuer string
	// Accounts is nil unless people or an operator connect accounts.
	Accounts *accounts.Broker
	// ConnectURL returns where a person connects their account at a server.
	ConnectURL func(person storage.Identity, server string, scopes ...string) string
	// ConsentElsewhere tells that people approve on a page that connects nothing.
	ConsentElsewhere bool

	// Who returns how access rules see who calls.
	Who func(id *storage.Identity, client string) access.Who

	Sessions *mcp.Sessions
	States   *mcp.States
	// Ahead is how far the clock is ahead by which States end: another process may
	// take them.
	Ahead        func() time.Duration
	Limiter      *ratelimit.Limiter
	Streams      *Streams
	Elicitations *Elicitations
	Store        openlinks.Store // of the links that clients were given
	// Statements tell servers who calls. Nil unless the site signs anything.
	Statements *signing.Statements
	AccessLog  bool // it is on
	Traced     bool // requests may be traced
	Events     *event.Recorder
	Audit      *audit.Log // nil if there is none
}

// Server is an MCP server of a site with the gate in front of it.
type Server struct {
	*config.Server // resolved

	Site    *Site
	Gate    *gate.Gate
	Forward Forwarder
	Counts  Counts
	// Offers is what the server said that it has.
	Offers *catalog.Server
	// Pinned are its tools that were approved. Nil unless they are pinned.
	Pinned *Pinned
	// Passed, unless nil, is called with each call that the gate let pass.
	Passed func()
}

// ServeHTTP takes a request through the stages, up to the first that answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	caller := s.admit(w, r)
	if caller == nil {
		return nil
	}
	s.Counts.Passed()
	if s.Passed != nil {
		s.Passed()
	}
	if s.Site.Traced {
		event.OnSpan(r.Context(), s.ID)
	}
	c := &Call{server: s, caller: caller, chosen: caller.Choices.At(s.Resource), client: w, request: request{header: r.Header}}
	c.record(r)
	var audited *auditedCall
	if s.Site.Audit != nil {
		audited = newAuditedCall(c, w, r)
		defer audited.finish()
		w = audited
	}
	if s.Auth != nil || c.judges() || s.Counts.Tools != nil || audited != nil {
		if err := c.request.body.Buffer(w, r, mcp.MaxRequest); err != nil {
			return bodyUnread(err)
		}
		defer c.request.body.Release()
		c.countTool()
		if audited != nil {
			audited.read(r)
		}
	}
	if !c.openSession(w, r) || !c.checkAccess(w, r) || !c.findAccount(w, r) || !c.makeStatement(w, r) {
		return nil
	}
	if audited != nil && !audited.start(r) {
		return nil
	}
	return c.forward(w, r, next)
}

// refer records an event at this server, about a call if there is one by now, and
// returns the reference to show.
func (s *Server) refer(r *http.Request, c *Call, e event.Event) string {
	return s.Site.Events.Refer(s.Site.Events.Of(r), s.about(c, e))
}

// record records an event at this server of which nobody is shown a reference.
func (s *Server) record(r *http.Request, c *Call, e event.Event) {
	s.Site.Events.Record(s.Site.Events.Of(r), s.about(c, e))
}

func (s *Server) about(c *Call, e event.Event) event.Event {
	e.Server = s.ID
	if c != nil {
		e.Person, e.Identity = c.caller.Identity.Subject, c.caller.Identity.Kind
		e.Client, e.Grant = c.caller.ClientID, c.caller.GrantID
	}
	return e
}

// reject answers for a mistake of the client's.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, c *Call, status int, reason, message string) {
	mcp.WriteError(w, status, message, s.refer(r, c, event.Event{Kind: event.CallRefused, Reason: reason, Detail: message, Status: status}))
}

// bodyUnread answers for a body that could not be buffered.
func bodyUnread(err error) error {
	var limit caddyhttp.HandlerError // of the request_body directive
	switch {
	case errors.As(err, &limit):
		return limit
	case errors.Is(err, os.ErrDeadlineExceeded):
		return caddyhttp.Error(http.StatusRequestTimeout, err)
	}
	return caddyhttp.Error(http.StatusBadRequest, err)
}
