package consent

import (
	"cmp"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// failure is an answer other than the one the person wanted.
type failure struct {
	pages.Failure
	cause error // logged, never shown
	// at is the identity provider, or another place to sign in, that a failed login
	// was at.
	at string
}

func refuse(status int, message string) *failure {
	return &failure{Failure: pages.Failure{Status: status, Message: message}}
}

func (f *failure) because(cause error) *failure { f.cause = cause; return f }
func (f *failure) backTo(url string) *failure   { f.Back = url; return f }
func (f *failure) next(text string) *failure    { f.Next = text; return f }

// of names the place that a login was at.
func (f *failure) of(m *identity.Method) *failure {
	f.at = cmp.Or(m.Provider, string(m.Kind))
	return f
}

func (f *failure) Error() string { return f.Message }

func (f *failure) Unwrap() error { return f.cause }

// changed refuses a form on which the person saw something else than what is
// the case now: who they are, or what is connected.
func changed(t *pages.Text, f *flows.Flow) *failure {
	failed := refuse(http.StatusConflict, t.Changed).next(t.ChangedNext).
		backTo(pageURL(servicesPath, f, "")).because(flows.ErrChanged)
	failed.Title = t.ChangedTitle
	return failed
}

// flowChanged is changed if that is what an error says, else the error.
func flowChanged(t *pages.Text, f *flows.Flow, err error) error {
	if errors.Is(err, flows.ErrChanged) {
		return changed(t, f)
	}
	return err
}

// signedOut refuses what only people who are signed in may do.
func signedOut(t *pages.Text) *failure {
	return refuse(http.StatusForbidden, t.SignedOut).next(t.SignedOutNext).backTo(accountPath)
}

// notHere refuses to connect what cannot be connected.
func notHere(t *pages.Text) *failure { return refuse(http.StatusNotFound, t.UnknownServer) }

// tooMany refuses what was tried too often.
func tooMany(message string) *failure { return refuse(http.StatusTooManyRequests, message) }

// fail answers with an error page, and logs under the same correlation id: our
// failures as errors, everything a visitor can cause as debug, and what happened
// to logins elsewhere for whoever is asked why somebody cannot sign in.
func (c *web) fail(w http.ResponseWriter, err error) {
	f := explain(c.pages.Text(), err)
	id := oauth.NewCorrelationID()
	fields := []zap.Field{
		zap.String("correlation_id", id), zap.Int("status", f.Status),
		zap.String("description", f.Message), zap.NamedError("cause", f.cause),
	}
	switch failed := f.Status >= http.StatusInternalServerError; {
	case f.at != "" && failed:
		c.log.Warn("somebody cannot sign in: the place to do that does not answer", append(fields, zap.String("issuer", f.at))...)
	case f.at != "":
		c.log.Info("what a browser came back with from signing in was refused", append(fields, zap.String("issuer", f.at))...)
	case failed:
		c.log.Error("consent page failed", fields...)
	default:
		c.log.Debug("consent page refused", fields...)
	}
	c.pages.ErrorPage(w, f.Failure, id)
}

// explain puts an error into words.
func explain(t *pages.Text, err error) *failure {
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	for _, row := range []struct {
		err     error
		status  int
		message string
		next    string
	}{
		{flows.ErrInvalid, http.StatusBadRequest, t.Invalid, ""},
		{sessions.ErrNotAllowed, http.StatusBadRequest, t.Invalid, ""},
		{flows.ErrExpired, http.StatusGone, t.Expired, ""},
		{flows.ErrOtherBrowser, http.StatusForbidden, t.OtherBrowser, ""},
		{sessions.ErrForged, http.StatusForbidden, t.Forged, ""},
		{flows.ErrSubmitted, http.StatusConflict, t.Submitted, ""},
		{flows.ErrChanged, http.StatusConflict, t.Changed, ""},
		{server.ErrLinkInvalid, http.StatusBadRequest, t.LinkInvalid, t.LinkNext},
		{server.ErrLinkExpired, http.StatusGone, t.LinkExpired, t.LinkNext},
		{server.ErrLinkUsed, http.StatusGone, t.LinkUsed, t.LinkUsedNext},
		{known.ErrTooMany, http.StatusTooManyRequests, t.TooManySignIns, ""},
		{identity.ErrLoginEnded, http.StatusBadRequest, t.LoginEnded, t.LoginNext},
		{identity.ErrLoginOtherBrowser, http.StatusForbidden, t.OtherBrowser, t.LoginNext},
	} {
		if errors.Is(err, row.err) {
			return refuse(row.status, row.message).next(row.next).because(err)
		}
	}
	var e *oauth.Error
	if errors.As(err, &e) && e.Status < http.StatusInternalServerError {
		return refuse(e.Status, e.Description).because(err)
	}
	var p *client.Error
	if errors.As(err, &p) && p.Problem == accounts.OtherBrowser {
		return refuse(http.StatusForbidden, t.ConnectOtherBrowser).next(t.ConnectNext).because(err)
	}
	if p != nil {
		return refuse(http.StatusBadRequest, t.Refused[string(p.Problem)]).next(t.ConnectNext).because(err)
	}
	// Everything else is a store that cannot do its work.
	return refuse(http.StatusServiceUnavailable, t.Unavailable).because(err)
}
