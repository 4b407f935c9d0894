package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/selfcheck"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/landing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/requestbody"
)

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	s := h.site.Load()
	if s == nil {
		if !h.host.Owns(r.URL.Path) {
			return h.pass(w, r, next)
		}
		var err error
		if s, err = h.open(); err != nil {
			if serving := h.inService(); serving != nil {
				return serving.ServeHTTP(w, r, next)
			}
			h.unavailable(w, r, err)
			return nil
		}
	}
	e, ok := s.routes.Find(r.URL.Path)
	if !ok && !h.host.Owns(r.URL.Path) {
		return h.pass(w, r, next)
	}
	if !h.host.Serves(r.Host) {
		return h.rejectHost(w, r)
	}
	if e.Server != nil {
		return e.Server.ServeHTTP(w, r, next)
	}
	if !ok { // what Caddy would answer with an empty 200
		e.Handler = s.as.NotFound()
	}
	requestbody.SetDeadline(w, r)
	e.Handler.ServeHTTP(w, neighbours.WithUser(r.WithContext(h.events.Of(r)), h.user))
	return nil
}

// inService returns the handler of the same site in the configuration that serves, if
// that of h was refused before it was opened. Caddy lets the servers of a configuration
// take requests while others of it still fail to listen, and some come after it was
// cleaned up.
func (h *Handler) inService() *Handler {
	active := activeApp()
	if active == nil || active == h.app {
		return nil
	}
	h.app.mu.Lock()
	defer h.app.mu.Unlock()
	if !h.app.released {
		return nil
	}
	return active.sites.first(h)
}

// pass hands a request that is not ours to the next handler. A person who opens
// the site itself in a browser gets our page, unless any other handler has an
// answer, whatever that is.
func (h *Handler) pass(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Path != "/" || !oauth.IsNavigation(r) || !h.host.Serves(r.Host) {
		return next.ServeHTTP(w, r)
	}
	answer := caddyhttp.NewResponseRecorder(w, nil, nil) // buffers nothing
	if err := next.ServeHTTP(answer, r); err != nil || answer.Status() != 0 || !neighbours.Unhandled(r) {
		return err
	}
	neighbours.Handled(r)
	h.landing.Front.ServeHTTP(w, r)
	return nil
}

// open returns the site, which it builds when it is first needed.
func (h *Handler) open() (*site, error) {
	h.building.Lock()
	defer h.building.Unlock()
	if s := h.site.Load(); s != nil {
		return s, nil
	}
	state, keys, err := h.app.open()
	if err != nil {
		return nil, err
	}
	s, servers := newSite(h, state, keys)
	s.keys, err = h.app.virtualKeys.Open(context.Background(), virtualkeys.Deps{
		Known: &state.virtualKeys, Config: h.cfg, Store: state.store, Withdrawals: s.as.Withdrawals,
		Resolve: placeholders.Replace, Events: h.events, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	h.app.sites.opened(h.cfg.Issuer, s, servers)
	h.site.Store(s)
	return s, nil
}

// prepareSigning makes the signing keys, if there are none, and tells when they
// cannot be used. The site serves all the same what needs no signature.
func (h *Handler) prepareSigning() {
	keys := h.site.Load().as.Signing
	if keys == nil {
		return
	}
	if _, err := keys.Published(h.app.ctx); err != nil {
		h.log.Error("nothing can be signed; what needs a signature is answered 503 until it can, which is tried again and again",
			zap.String("site", h.cfg.Issuer), zap.Error(err))
	}
}

// serveAlone answers as if there were no other handler around.
func (h *Handler) serveAlone(w http.ResponseWriter, r *http.Request) error {
	return h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil }))
}

// announce tells an operator what to give to people, and to paste, once it was
// checked.
func (h *Handler) announce(checked *selfcheck.Report) {
	if h.cfg.UsesVirtualKeys() && len(h.cfg.Keys.Set().All()) == 0 {
		h.log.Warn(`nobody has a virtual key yet; make one with "caddy mcp-oauth keys make alice", or add virtual_key to the configuration`,
			zap.String("site", h.cfg.Issuer))
	}
	if checked.Refusal() != nil {
		return // which is in the log, and nothing to be announced
	}
	go survive(h.app.ctx, h.site.Load().as.CheckOutgoing)
	h.log.Info("site ready", zap.String("site", h.cfg.Issuer), zap.Strings("checked", checked.Checked))
	for _, s := range h.cfg.Servers {
		h.log.Info("MCP server ready", zap.String("server", s.ID), zap.String("url", s.Resource),
			zap.String("connect", landing.AddToClaudeCode(s.ID, s.Resource)))
	}
	for _, p := range h.cfg.Providers {
		o := p.Options()
		h.log.Info("people sign in at an identity provider, where the redirect URI must be registered", zap.String("issuer", o.Issuer),
			zap.String("redirect_uri", h.cfg.Issuer+identity.CallbackPath+oidc.Form(o.Name)))
	}
}

// unavailable answers while the store cannot be opened: failing to decide is
// never a yes.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, cause error) {
	answer := oauth.Unavailable(cause)
	happened := answer.Event(event.SiteUnavailable)
	happened.Kind = event.SiteUnavailable
	answer.Answer(w, h.events.Refer(h.events.Of(r), happened))
}

// maxShownHost is longer than any host with a port.
const maxShownHost = 300

// misdirection is what is answered to a request for a host that is not the site's, and
// what is told of it.
type misdirection struct {
	answer   oauth.Error
	happened event.Event
}

func (h *Handler) misdirected(r *http.Request) misdirection {
	answer := oauth.Error{
		Status: http.StatusMisdirectedRequest, Code: "misdirected_request", Description: "This site is " + h.cfg.Issuer +
			". Check the URL you use, the option public_url, and what a proxy in front sends as Host.",
	}
	happened := answer.Event(event.RequestRefused)
	happened.Err = errors.New("the request is for " + strconv.Quote(r.Host[:min(len(r.Host), maxShownHost)]))
	return misdirection{answer, happened}
}

// rejectHost answers a request for a host that is not the site's. Error routes
// of the operator, if there are any, say it in their words.
func (h *Handler) rejectHost(w http.ResponseWriter, r *http.Request) error {
	m := h.misdirected(r)
	reference := h.events.Refer(h.events.Of(r), m.happened)
	err := neighbours.Misdirected(r)
	if server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Errors != nil {
		return err
	}
	m.answer.Answer(w, reference)
	return nil
}
