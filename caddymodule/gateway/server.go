package gateway

import (
	"errors"
	"net/http"
	"os"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
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

	Sessions     *mcp.Sessions
	States       *mcp.States
	Limiter      *ratelimit.Limiter
	Streams      *Streams
	Elicitations *Elicitations
	// Statements tell servers who calls. Nil unless the site signs anything.
	Statements *signing.Statements
	AccessLog  bool // it is on
	Log        *zap.Logger
	Events     *event.Recorder
}

// Server is an MCP server of a site with the gate in front of it.
type Server struct {
	*config.Server // resolved

	Site    *Site
	Gate    *gate.Gate
	Forward Forwarder
}

// ServeHTTP takes a request through the stages, up to the first that answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	caller := s.admit(w, r)
	if caller == nil {
		return nil
	}
	c := &Call{server: s, caller: caller, client: w, request: request{header: r.Header}}
	c.record(r)
	if s.Auth != nil {
		if err := c.request.body.Buffer(w, r, mcp.MaxRequest); err != nil {
			return bodyUnread(err)
		}
		defer c.request.body.Release()
	}
	if !c.openSession(w) || !c.findAccount(w, r) || !c.makeStatement(w, r) {
		return nil
	}
	return c.forward(w, r, next)
}

// reject answers for a mistake of the client's.
func (s *Site) reject(w http.ResponseWriter, status int, message string) {
	id := oauth.NewCorrelationID()
	s.Log.Debug("request rejected", zap.String("correlation_id", id), zap.Int("status", status), zap.String("description", message))
	mcp.WriteError(w, status, message, id)
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
