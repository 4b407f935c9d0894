package identity

import (
	"cmp"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// DefaultRecheck is the Recheck of a method that renews people, for those whom it
// cannot renew.
const DefaultRecheck = 24 * time.Hour

// Errors of an identity of which too little is known by now.
var (
	// ErrProviderSilent: the identity provider has said nothing of the person for
	// too long. They can do nothing about it but wait.
	ErrProviderSilent = errors.New("identity: the identity provider has not said for too long whether the person may still sign in there")
	// ErrSignInAgain: they have not signed in for too long.
	ErrSignInAgain = errors.New("identity: the person has to sign in again")
)

// Verified returns nil if what is known of an identity is recent enough to let it
// in, or why not.
func (ms Methods) Verified(id storage.Identity, now time.Time) error {
	until, why := ms.verifiedUntil(id)
	if until.IsZero() || now.Before(until) {
		return nil
	}
	return why
}

// VerifiedUntil returns until when tokens of an identity can be good if nothing is
// heard of the person any more; zero for no bound. Those of people who are renewed
// can be good for longer.
func (ms Methods) VerifiedUntil(id storage.Identity) time.Time {
	until, why := ms.verifiedUntil(id)
	if errors.Is(why, ErrProviderSilent) {
		return time.Time{}
	}
	return until
}

func (ms Methods) verifiedUntil(id storage.Identity) (time.Time, error) {
	m := ms.Of(id.Kind)
	if m == nil || id.Claims == nil {
		return time.Time{}, nil
	}
	bound, why := m.Recheck, ErrSignInAgain
	switch {
	case m.Renew != nil && m.RenewEvery > 0 && id.Claims.Renewable:
		bound, why = 2*m.RenewEvery, ErrProviderSilent
	case m.RenewEvery > 0:
		bound = cmp.Or(bound, DefaultRecheck)
	}
	if bound == 0 {
		return time.Time{}, nil
	}
	return id.Claims.VerifiedAt.Add(bound), why
}
