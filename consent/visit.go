package consent

import (
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

// visitor serves a person at the pages outside of flows.
type visitor func(http.ResponseWriter, *http.Request, *authz.Session) error

// visit serves such a page.
func (c *Consent) visit(show visitor) http.Handler { return c.loaded(c.with(show)) }

// act serves what one of its forms is sent to. accept sees only forms that our
// page made, in this browser.
func (c *Consent) act(accept visitor) http.Handler { return c.posted(c.with(accept)) }

// with opens the browser session. One of a user of Caddy's is good only while
// that user is the one who is signed in to the site.
func (c *Consent) with(serve visitor) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := c.as.OpenBrowserSession(w, r)
		if errors.Is(err, authz.ErrFlowForged) {
			t := c.pages.text
			return &failure{status: http.StatusForbidden, message: t.Forged, next: t.ForgedNext, back: AccountPath, cause: err}
		}
		if err != nil {
			return err
		}
		if s.Identity != nil && !c.stillUser(r, *s.Identity) {
			s.Identity = nil
		}
		if s.Identity != nil {
			if err := c.as.ProvedAgain(r.Context(), *s.Identity); err != nil { // stillUser looked at this request
				return err
			}
		}
		return serve(w, r, s)
	}
}

// signedIn serves only people who are signed in.
func (c *Consent) signedIn(serve visitor) visitor {
	return func(w http.ResponseWriter, r *http.Request, s *authz.Session) error {
		if s.Identity == nil {
			return c.signedOut()
		}
		return serve(w, r, s)
	}
}

func (c *Consent) signedOut() *failure {
	t := c.pages.text
	return &failure{status: http.StatusForbidden, message: t.SignedOut, next: t.SignedOutNext, back: AccountPath}
}
