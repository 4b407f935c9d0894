package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Paths of the endpoints for dashboards, beside those that such clients know as
// the authorization server's.
const (
	dashboardAuthorizePath = "/api/oauth/authorize"
	dashboardRequestPath   = dashboardAuthorizePath + "/request"
	dashboardLoginPath     = "/api/oauth/login"
)

// perPersonAtDashboard is how often a minute one person can be vouched for. Each
// time leaves a record.
const perPersonAtDashboard = 60

// maxDashboardBody is how many bytes a dashboard can send: an authorization request
// in JSON.
const maxDashboardBody = 2 * maxQueryBytes

// dashboardEndpoint answers a dashboard, which says by its token for which person
// it speaks. Its answers are for programs; what a person did there is its own
// affair, and must not be what another site made their browser do.
type dashboardEndpoint struct {
	cfg       *config.Site
	dashboard *config.Dashboard
	verifier  *dashboard.Verifier
	policy    *grants.Policy
	persons   *persons.Persons
	attempts  *ratelimit.Attempts
	events    *event.Recorder
	answer    func(w http.ResponseWriter, r *http.Request, person storage.Identity) (any, error)
}

// dashboardRoutes returns the endpoints for the dashboard of the site, if it has
// one. On the path of authorization requests it answers POST alone, the rest is
// authorize's.
func (as *AuthorizationServer) dashboardRoutes(authorize *authorizationEndpoint) []Route {
	d := as.cfg.Dashboard()
	if d == nil {
		return []Route{{dashboardAuthorizePath, authorize}}
	}
	verifier := dashboard.New(d.Trust, as.deps.Operator.FetchJSON, storage.NowOf(as.deps.Store, as.deps.Now))
	endpoint := func(method string, answer func(http.ResponseWriter, *http.Request, storage.Identity) (any, error)) http.Handler {
		e := &dashboardEndpoint{
			cfg: as.cfg, dashboard: d, verifier: verifier, policy: as.Policy, persons: as.Persons, attempts: as.Attempts,
			events: as.deps.Events, answer: answer,
		}
		return oauth.CORSFrom(d.Origin(), as.deps.Events, e, method)
	}
	login := &dashboardLogin{issuer: as.cfg.Issuer, logins: as.deps.Logins}
	routes := []Route{{dashboardLoginPath, endpoint(http.MethodPost, login.answer)}}
	if d.Consent != config.ConsentThere {
		return append(routes, Route{dashboardAuthorizePath, authorize})
	}
	requests := &dashboardRequests{cfg: as.cfg, authorize: authorize, flows: as.Flows, persons: as.Persons}
	approve := endpoint(http.MethodPost, requests.decide)
	return append(routes,
		Route{dashboardRequestPath, endpoint(http.MethodGet, requests.describe)},
		Route{dashboardAuthorizePath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				authorize.ServeHTTP(w, r)
				return
			}
			approve.ServeHTTP(w, r)
		})})
}

func (e *dashboardEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	person, err := e.person(r)
	var answer any
	if err == nil {
		answer, err = e.answer(w, r, person)
	}
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	oauth.WriteJSON(w, http.StatusOK, answer)
}

// person returns for whom a request speaks.
func (e *dashboardEndpoint) person(r *http.Request) (storage.Identity, error) {
	token, kind := oauth.ParseBearer(r.Header.Values("Authorization"))
	if kind != oauth.BearerCredential {
		return storage.Identity{}, &oauth.Error{
			Status: http.StatusUnauthorized, Code: "invalid_request", Challenge: "Bearer",
			Description: "Send the JWT of the person who is signed in as the one bearer token.",
		}
	}
	person, err := e.verifier.Verify(r.Context(), token)
	switch {
	case errors.Is(err, dashboard.ErrToken) && !e.attempts.AllowWrongSecret(r, ratelimit.DashboardToken):
		return storage.Identity{}, ratelimit.ErrTooManyAttempts
	case errors.Is(err, dashboard.ErrToken):
		return storage.Identity{}, &oauth.Error{
			Status: http.StatusUnauthorized, Code: "invalid_token", Challenge: `Bearer error="invalid_token"`, Cause: err,
			Description: "The JWT was not accepted. The log of this site says why, under the correlation id.",
		}
	case err != nil:
		return storage.Identity{}, oauth.Unavailable(err)
	}
	id := identity.OfDashboard(e.dashboard.Issuer, person)
	event.Learn(r.Context(), event.Event{Person: id.Subject, Identity: id.Kind})
	if !e.attempts.Limiter.AllowShared(r.Context(), "dashboard_person", e.cfg.Issuer+" "+id.Subject, "", perPersonAtDashboard) {
		return storage.Identity{}, &oauth.Error{
			Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "Too many requests for this person; try again in a minute.",
		}
	}
	if !e.policy.Allows(id) {
		if err := e.persons.NotAllowed(context.WithoutCancel(r.Context()), id); err != nil {
			return storage.Identity{}, err
		}
		return storage.Identity{}, &oauth.Error{
			Status: http.StatusForbidden, Code: "access_denied", Description: "This person may not sign in to this site.",
			Cause: errors.New("no rule allows " + id.Subject),
		}
	}
	return id, nil
}

// refuse answers with an error that has, besides the members of RFC 6749 section
// 5.2, the same words as detail. It is logged where an operator reads it: what the
// dashboard did wrong there, and what keeps it from working.
func (e *dashboardEndpoint) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := oauth.AsError(err)
	happened := refusal.Event(event.DashboardRefused)
	happened.Provider, happened.By = e.dashboard.Issuer, event.ByProvider
	if happened.Kind == event.RequestFailed {
		happened.Kind = event.DashboardFailed
	}
	id := e.events.Refer(r.Context(), happened)
	if refusal.Challenge != "" {
		w.Header().Set("WWW-Authenticate", refusal.Challenge)
	}
	oauth.SetRetryAfter(w, refusal.Status)
	oauth.WriteJSON(w, refusal.Status, struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Detail        string `json:"detail"`
		CorrelationID string `json:"correlation_id"`
	}{refusal.Code, refusal.Description, refusal.Description, id})
}

// dashboardLogin is where a dashboard says who the person is that this site sent to
// it to sign in.
type dashboardLogin struct {
	issuer string
	logins *identity.Logins
}

// answer keeps who the person of a login is, and returns where their browser goes
// now. Only the browser that the login began in gets any further there.
func (e *dashboardLogin) answer(w http.ResponseWriter, r *http.Request, person storage.Identity) (any, error) {
	form, err := readJSONParameters(w, r)
	if err != nil {
		return nil, err
	}
	login := form.Get(identity.DashboardLogin)
	code, err := e.logins.Vouch(r.Context(), login, person)
	switch {
	case errors.Is(err, identity.ErrLoginEnded):
		return nil, oauth.NewError("invalid_request", "The login is missing or malformed; send the one of the parameter login, as it is.")
	case errors.Is(err, identity.ErrVouched):
		return nil, &oauth.Error{Status: http.StatusConflict, Code: "invalid_request", Description: "This login was answered already; let the person begin again."}
	case err != nil:
		return nil, oauth.Unavailable(err)
	}
	return struct {
		RedirectTo string `json:"redirect_to"`
	}{e.issuer + identity.CallbackPath + "dashboard?" + url.Values{"state": {login}, "code": {code}}.Encode()}, nil
}
