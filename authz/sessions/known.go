package sessions

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Known is somebody who is signed in, in the browser of a request, and need not
// say again who they are.
type Known struct {
	Identity storage.Identity
	// Session is by what they are known.
	Session storage.Hash
	// Until is when the browser forgets them.
	Until time.Time
}

// Known returns who is known in the browser of a request, or nil. Whoever can
// have the same identity only once is not, nor is somebody whom another handler
// authenticates and who is not the one it names now, nor somebody whose proof is
// older than the site accepts.
func (ss *Sessions) Known(r *http.Request) (*Known, error) {
	secret := ss.cookies.Secret(r, ss.cookies.session())
	if secret == "" {
		return nil, nil
	}
	s, err := ss.stored(r.Context(), storage.HashOf(secret))
	if err != nil || s == nil || !ss.isOf(secret, s.Identity) || !ss.cfg.SignIn.IsCurrent(r, s.Identity) || !ss.isKept(s) {
		return nil, err
	}
	return &Known{Identity: s.Identity, Session: s.Hash, Until: s.ExpiresAt}, nil
}

// isKept reports whether the person of a session may go on without a new proof.
func (ss *Sessions) isKept(s *storage.BrowserSession) bool {
	m := ss.cfg.SignIn.Of(s.Identity.Kind)
	if m == nil || m.SingleUse {
		return false
	}
	proved := s.CreatedAt
	if c := s.Identity.Claims; c != nil && c.VerifiedAt.After(proved) {
		proved = c.VerifiedAt
	}
	return m.Current != nil || m.Recheck == 0 || ss.now().Before(proved.Add(m.Recheck))
}

// KnownStill reports whether the person of a flow said who they are, or is still
// known by the session that the flow rests on.
func (ss *Sessions) KnownStill(ctx context.Context, f storage.Flow) (bool, error) {
	if f.Session == (storage.Hash{}) {
		return true, nil
	}
	s, err := ss.stored(ctx, f.Session)
	return s != nil && s.Identity.Same(f.Identity), err
}

// stored returns a session of this site whose person the configuration still
// knows, and their identity provider vouched for not too long ago, or nil.
func (ss *Sessions) stored(ctx context.Context, session storage.Hash) (*storage.BrowserSession, error) {
	s, err := ss.store.BrowserSession(ctx, session, ss.now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, oauth.Unavailable(err)
	case s.Issuer != ss.cfg.Issuer || !ss.policy.Allows(s.Identity) || ss.cfg.SignIn.Verified(s.Identity, ss.now()) != nil:
		return nil, nil
	}
	return &s, nil
}
