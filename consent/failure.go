package consent

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// failure is an answer other than the one the person wanted.
type failure struct {
	pages.Failure
	reason string // a word for the log and for metrics
	cause  error  // logged, never shown
	// at is the identity provider, or another place to sign in, that a failed login
	// was at, and method the way to sign in.
	at, method string
}

// refuse returns a failure. reason is one of a few words.
func refuse(status int, reason, message string) *failure {
	return &failure{Failure: pages.Failure{Status: status, Message: message}, reason: reason}
}

func (f *failure) because(cause error) *failure { f.cause = cause; return f }
func (f *failure) backTo(url string) *failure   { f.Back = url; return f }
func (f *failure) next(text string) *failure    { f.Next = text; return f }

// of names the place that a login was at.
func (f *failure) of(m *identity.Method) *failure {
	f.at, f.method = cmp.Or(m.Provider, string(m.Kind)), string(m.Kind)
	return f
}

func (f *failure) Error() string { return f.Message }

func (f *failure) Unwrap() error { return f.cause }

// changed refuses a form on which the person saw something else than what is
// the case now: who they are, or what is connected.
func changed(t *pages.Text, f *flows.Flow) *failure {
	failed := refuse(http.StatusConflict, "changed", t.Changed).next(t.ChangedNext).
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
	return refuse(http.StatusForbidden, "signed_out", t.SignedOut).next(t.SignedOutNext).backTo(accountPath)
}

// notHere refuses to connect what cannot be connected.
func notHere(t *pages.Text) *failure {
	return refuse(http.StatusNotFound, "unknown_server", t.UnknownServer)
}

// tooMany refuses what was tried too often.
func tooMany(message string) *failure { return refuse(http.StatusTooManyRequests, "too_many", message) }

// fail answers with an error page, and records why under the reference that it
// shows: our failures, what a visitor can cause, and apart from those what happened to
// logins elsewhere.
func (c *web) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := explain(c.pages.Text(), err)
	e := event.Event{Kind: event.PageRefused, Status: f.Status, Reason: f.reason, Detail: f.Message, Err: f.cause, Provider: f.at, Identity: f.method}
	switch failed := f.Status >= http.StatusInternalServerError; {
	case f.at != "" && failed:
		e.Kind = event.SignInFailed
	case f.at != "":
		e.Kind = event.SignInRefused
	case failed:
		e.Kind = event.PageFailed
	}
	c.pages.ErrorPage(w, f.Failure, c.events.Refer(r.Context(), e))
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
		reason  string
		message string
		next    string
	}{
		{flows.ErrInvalid, http.StatusBadRequest, "unknown_request", t.Invalid, ""},
		{sessions.ErrNotAllowed, http.StatusBadRequest, "not_allowed", t.Invalid, ""},
		{flows.ErrExpired, http.StatusGone, "expired", t.Expired, ""},
		{flows.ErrOtherBrowser, http.StatusForbidden, "other_browser", t.OtherBrowser, ""},
		{sessions.ErrForged, http.StatusForbidden, "forged", t.Forged, ""},
		{flows.ErrSubmitted, http.StatusConflict, "answered_before", t.Submitted, ""},
		{flows.ErrChanged, http.StatusConflict, "changed", t.Changed, ""},
		{server.ErrLinkInvalid, http.StatusBadRequest, "link_invalid", t.LinkInvalid, t.LinkNext},
		{server.ErrLinkExpired, http.StatusGone, "link_expired", t.LinkExpired, t.LinkNext},
		{server.ErrLinkUsed, http.StatusGone, "link_used", t.LinkUsed, t.LinkUsedNext},
		{known.ErrTooMany, http.StatusTooManyRequests, "too_many", t.TooManySignIns, ""},
		{identity.ErrLoginEnded, http.StatusBadRequest, "login_ended", t.LoginEnded, t.LoginNext},
		{identity.ErrLoginOtherBrowser, http.StatusForbidden, "other_browser", t.OtherBrowser, t.LoginNext},
	} {
		if errors.Is(err, row.err) {
			return refuse(row.status, row.reason, row.message).next(row.next).because(err)
		}
	}
	var e *oauth.Error
	if errors.As(err, &e) && e.Status < http.StatusInternalServerError {
		return refuse(e.Status, e.Code, e.Description).because(err)
	}
	var p *client.Error
	if errors.As(err, &p) && p.Problem == accounts.OtherBrowser {
		return refuse(http.StatusForbidden, string(p.Problem), t.ConnectOtherBrowser).next(t.ConnectNext).because(err)
	}
	if p != nil {
		return refuse(http.StatusBadRequest, string(p.Problem), t.Refused[string(p.Problem)]).next(t.ConnectNext).because(err)
	}
	// Everything else is a store that cannot do its work.
	return refuse(http.StatusServiceUnavailable, "store_unavailable", t.Unavailable).because(err)
}
