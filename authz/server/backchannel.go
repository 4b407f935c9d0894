package server

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
)

// backchannelPath starts the paths at which identity providers say that somebody
// signed out there. Each method has its own.
const backchannelPath = "/oauth/login/backchannel/"

// refusedLogoutLines is how many refused logouts of a method are in the log at INFO,
// per minute.
const refusedLogoutLines = 10

// backchannelLogout is OpenID Connect Back-Channel Logout 1.0 section 2.5. The
// method judges the logout token, whole, before anything is looked up.
type backchannelLogout struct {
	method  *identity.Method
	persons *persons.Persons
	// logs reports whether another refusal may be in the log: anybody can cause them.
	logs func() bool
	log  *zap.Logger
}

func (e *backchannelLogout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	id := oauth.NewCorrelationID()
	err := e.logOut(w, r, id)
	if err == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	answer := oauth.AsError(err)
	if answer.Status < http.StatusInternalServerError && e.logs() {
		e.log.Info("a logout that an identity provider may have sent was refused", zap.String("identity", string(e.method.Kind)),
			zap.String("correlation_id", id), zap.String("description", answer.Description), zap.NamedError("cause", answer.Cause))
	} else {
		oauth.LogError(e.log, answer, id)
	}
	answer.Answer(w, id)
}

func (e *backchannelLogout) logOut(w http.ResponseWriter, r *http.Request, correlationID string) error {
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
	return e.persons.LoggedOut(r.Context(), e.method, logout, correlationID)
}

// backchannel returns an endpoint for each method that has logout tokens.
func (as *AuthorizationServer) backchannel() []Route {
	var routes []Route
	for i := range as.cfg.SignIn {
		if m := &as.cfg.SignIn[i]; m.Logout != nil {
			routes = append(routes, Route{backchannelPath + m.Form, &backchannelLogout{
				method: m, persons: as.Persons, log: as.log,
				logs: func() bool { return as.deps.Limiter.Allow("refused logout", m.Form, refusedLogoutLines) },
			}})
		}
	}
	return routes
}
