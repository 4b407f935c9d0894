package authz

import (
	"errors"
	"net/http"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrLeft: whoever began something is not there any more. They signed out,
// somebody else signed in, or the operator withdrew what they signed in with.
var ErrLeft = errors.New("authz: whoever began this is not there any more") // 403

// CheckAuthentication returns ErrLeft unless a person who began something is still
// there, in the browser of the request, and may use the server. That the
// browser is the one of a flow is for the caller to know.
func (as *AuthorizationServer) CheckAuthentication(r *http.Request, p storage.Authentication, server string) error {
	there, err := as.stillThere(r, p)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if !there || !as.Policy.Allows(p.Identity) ||
		!slices.ContainsFunc(as.Policy.ServersOf(p.Identity), func(s Server) bool { return s.ID == server }) {
		return ErrLeft
	}
	return nil
}

func (as *AuthorizationServer) stillThere(r *http.Request, p storage.Authentication) (bool, error) {
	now := as.deps.Now()
	if p.FlowID != "" {
		f, err := as.deps.Store.Flow(r.Context(), p.FlowID, now)
		return err == nil && f.Issuer == as.cfg.Issuer && !f.Submitted && f.Identity.Same(p.Identity), unlessNotFound(err)
	}
	secret := as.browserCookie(r)
	if secret == "" || storage.HashOf(secret) != p.Session {
		return false, nil
	}
	s, err := as.deps.Store.BrowserSession(r.Context(), p.Session, now)
	return err == nil && s.Issuer == as.cfg.Issuer && s.Identity.Same(p.Identity), unlessNotFound(err)
}

func unlessNotFound(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
