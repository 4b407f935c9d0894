package server

import (
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// backchannelPath starts the paths at which identity providers say that somebody
// signed out there. Each method has its own.
const backchannelPath = "/oauth/login/backchannel/"

// backchannelLogout is OpenID Connect Back-Channel Logout 1.0 section 2.5. The
// method judges the logout token, whole, before anything is looked up.
type backchannelLogout struct {
	method  *identity.Method
	persons *persons.Persons
	events  *event.Recorder
}

func (e *backchannelLogout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := e.logOut(w, r)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	answer := oauth.AsError(err)
	refused := answer.Event(event.LogoutRefused)
	refused.Identity, refused.Provider, refused.By = string(e.method.Kind), e.method.Provider, event.ByProvider
	answer.Answer(w, e.events.Refer(r.Context(), refused))
}

func (e *backchannelLogout) logOut(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &oauth.Error{Status: http.StatusMethodNotAllowed, Code: "invalid_request", Description: "Use POST."}
	}
	form, err := oauth.ParseForm(w, r)
	if err != nil {
		return err
	}
	token := form.Get("logout_token")
	if token == "" {
		return oauth.NewError("invalid_request", "The logout_token is missing.")
	}
	logout, err := e.method.Logout(r.Context(), token)
	if silent := (*identity.Unavailable)(nil); errors.As(err, &silent) {
		return oauth.Unavailable(err)
	}
	if err != nil {
		return &oauth.Error{Status: http.StatusBadRequest, Code: "invalid_request", Description: "The logout token is not good here.", Cause: err}
	}
	return e.persons.LoggedOut(r.Context(), e.method, logout)
}

// backchannel returns an endpoint for each method that has logout tokens.
func (as *AuthorizationServer) backchannel() []Route {
	var routes []Route
	for i := range as.cfg.SignIn {
		if m := &as.cfg.SignIn[i]; m.Logout != nil {
			routes = append(routes, Route{backchannelPath + m.Form, &backchannelLogout{
				method: m, persons: as.Persons, events: as.deps.Events,
			}})
		}
	}
	return routes
}
