package consent

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// callback takes the answers of providers.
//
// A handler that signs people in stands in front of our pages, and often not in
// front of this path. Where one of its users left, the browser goes on to one of
// the pages, and there it shows who is signed in.
func (c *Consent) callback() http.Handler {
	return c.answered(func(w http.ResponseWriter, r *http.Request, query url.Values) error {
		if query.Get("state") == "" {
			return c.noTrip()
		}
		answer := accounts.Answer{
			State: query.Get("state"), Code: query.Get("code"), Iss: query.Get("iss"), Error: query.Get("error"), Path: r.URL.Path,
		}
		_, known := identity.FromContext(r.Context())
		if !known && strings.HasPrefix(c.tripCookie(r, answer.State), caddyTrip) {
			c.redirect(w, withQuery(answerPath, "code", c.broker.SealAnswer(answer)))
			return nil
		}
		return c.takeAnswer(w, r, answer)
	})
}

// answerPage takes an answer that the callback passed on.
func (c *Consent) answerPage() http.Handler {
	return c.answered(func(w http.ResponseWriter, r *http.Request, query url.Values) error {
		answer, err := c.broker.OpenAnswer(query.Get("code"))
		if err != nil {
			return err
		}
		return c.takeAnswer(w, r, answer)
	})
}

// answered serves what browsers are sent to with an answer.
func (c *Consent) answered(serve func(http.ResponseWriter, *http.Request, url.Values) error) http.Handler {
	return c.guard(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			return refuse(http.StatusMethodNotAllowed, c.pages.text.WrongMethod)
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || repeats(query) {
			return c.noTrip()
		}
		return serve(w, r, query)
	})
}

// noTrip refuses what belongs to no trip.
func (c *Consent) noTrip() *failure {
	return c.tripFailed(http.StatusBadRequest, c.pages.text.Refused[string(accounts.TripEnded)])
}

// takeAnswer ends a trip. It strips the code from the address by sending the
// browser on to the page the person left from.
func (c *Consent) takeAnswer(w http.ResponseWriter, r *http.Request, answer accounts.Answer) error {
	secret := c.tripCookie(r, answer.State)
	if secret == "" {
		return c.tripFailed(http.StatusForbidden, c.pages.text.TripOtherBrowser)
	}
	answer.Browser = storage.HashOf(secret)
	answer.Present = func(p storage.Authentication, server string) error { return c.present(r, p, server) }
	outcome, err := c.broker.Finish(r.Context(), answer)
	c.setTripCookie(w, answer.State, "", -time.Second)
	if err != nil {
		return c.comeBack(w, outcome.ReturnTo, err)
	}
	c.arrive(w, outcome.ReturnTo)
	return nil
}

// present reports with nil that whoever left is still there.
func (c *Consent) present(r *http.Request, p storage.Authentication, server string) error {
	err := c.as.CheckAuthentication(r, p, server)
	if errors.Is(err, authz.ErrSignedOut) || err == nil && !c.stillUser(r, p.Identity) {
		return &accounts.Error{Problem: accounts.Left, Cause: authz.ErrSignedOut}
	}
	return err
}
