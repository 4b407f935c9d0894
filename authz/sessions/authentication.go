package sessions

import (
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrSignedOut: the person who began something is signed in no more. They signed
// out, somebody else signed in, or the operator withdrew what they signed in with.
var ErrSignedOut = errors.New("authz: whoever began this is not there any more") // 403

// CheckAuthentication returns ErrSignedOut unless a person who began something is
// still signed in, in the browser of the request, and may use the server. That
// the browser is the one of a flow is for the caller to know.
func (ss *Sessions) CheckAuthentication(r *http.Request, p storage.Authentication, server string) error {
	now, err := ss.signedInStill(r, p)
	if err != nil {
		return oauth.Unavailable(err)
	}
	if now == nil || !ss.policy.Allows(*now) {
		return ErrSignedOut
	}
	if s := ss.cfg.Server(server); s == nil || !ss.policy.MayUse(*now, s) {
		return ErrSignedOut
	}
	return nil
}

// signedInStill returns the person, with what is known of them by now, or nil if
// they are not signed in any more.
func (ss *Sessions) signedInStill(r *http.Request, p storage.Authentication) (*storage.Identity, error) {
	now := ss.now()
	if p.FlowID != "" {
		f, err := ss.store.Flow(r.Context(), p.FlowID, now)
		if err != nil || f.Issuer != ss.cfg.Issuer || f.Submitted || !f.Identity.Same(p.Identity) {
			return nil, unlessNotFound(err)
		}
		if known, err := ss.KnownStill(r.Context(), f); !known || err != nil {
			return nil, err
		}
		return &f.Identity, nil
	}
	secret := ss.cookies.Secret(r, ss.cookies.session())
	if secret == "" || storage.HashOf(secret) != p.Session {
		return nil, nil
	}
	s, err := ss.store.BrowserSession(r.Context(), p.Session, now)
	if err != nil || s.Issuer != ss.cfg.Issuer || !s.Identity.Same(p.Identity) {
		return nil, unlessNotFound(err)
	}
	return &s.Identity, nil
}

func unlessNotFound(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
