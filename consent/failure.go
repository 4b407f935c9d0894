package consent

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// failure is an answer other than the one the person wanted.
type failure struct {
	status  int
	message string
	title   string // of the page, if not the usual one of the status
	next    string // what to do, if not the usual of the status
	back    string // where the person can try again, if anywhere
	cause   error  // logged, never shown
}

func refuse(status int, message string) *failure {
	return &failure{status: status, message: message}
}

func (f *failure) because(cause error) *failure { f.cause = cause; return f }
func (f *failure) backTo(url string) *failure   { f.back = url; return f }

// changed refuses a form on which the person saw something else than what is
// the case now: who they are, or what is connected.
func (c *Consent) changed(f *authz.Flow) *failure {
	t := c.pages.text
	return &failure{
		status: http.StatusConflict, message: t.Changed, title: t.ChangedTitle, next: t.ChangedNext,
		back: pageURL(authz.ServicesPath, f, ""), cause: authz.ErrFlowChanged,
	}
}

// tripFailed refuses an answer of a provider that belongs to no page.
func (c *Consent) tripFailed(status int, message string) *failure {
	return &failure{status: status, message: message, next: c.pages.text.TripNext}
}

func (f *failure) Error() string { return f.message }

func (f *failure) Unwrap() error { return f.cause }

// fail answers with an error page, and logs under the same correlation id: our
// failures as errors, everything a visitor can cause as debug.
func (c *Consent) fail(w http.ResponseWriter, err error) {
	f := c.explain(err)
	id := oauth.NewCorrelationID()
	fields := []zap.Field{
		zap.String("correlation_id", id), zap.Int("status", f.status),
		zap.String("description", f.message), zap.NamedError("cause", f.cause),
	}
	if f.status >= http.StatusInternalServerError {
		c.log.Error("consent page failed", fields...)
	} else {
		c.log.Debug("consent page refused", fields...)
	}
	c.pages.errorPage(w, f, id)
}

// explain puts an error into words.
func (c *Consent) explain(err error) *failure {
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	t := c.pages.text
	for _, known := range []struct {
		err     error
		status  int
		message string
		next    string
	}{
		{authz.ErrFlowInvalid, http.StatusBadRequest, t.Invalid, ""},
		{authz.ErrFlowExpired, http.StatusGone, t.Expired, ""},
		{authz.ErrFlowOtherBrowser, http.StatusForbidden, t.OtherBrowser, ""},
		{authz.ErrFlowForged, http.StatusForbidden, t.Forged, ""},
		{authz.ErrFlowSubmitted, http.StatusConflict, t.Submitted, ""},
		{authz.ErrFlowChanged, http.StatusConflict, t.Changed, ""},
		{authz.ErrLinkInvalid, http.StatusBadRequest, t.LinkInvalid, t.LinkNext},
		{authz.ErrLinkExpired, http.StatusGone, t.LinkExpired, t.LinkNext},
		{authz.ErrLinkUsed, http.StatusGone, t.LinkUsed, t.LinkUsedNext},
	} {
		if errors.Is(err, known.err) {
			return &failure{status: known.status, message: known.message, next: known.next, cause: err}
		}
	}
	var oauth *oauth.Error
	if errors.As(err, &oauth) && oauth.Status < http.StatusInternalServerError {
		return refuse(oauth.Status, oauth.Description).because(err)
	}
	var p *accounts.Error
	if errors.As(err, &p) && p.Problem == accounts.OtherBrowser {
		return c.tripFailed(http.StatusForbidden, t.TripOtherBrowser).because(err)
	}
	if p != nil {
		return c.tripFailed(http.StatusBadRequest, t.Refused[string(p.Problem)]).because(err)
	}
	// Everything else is a store that cannot do its work.
	return refuse(http.StatusServiceUnavailable, t.Unavailable).because(err)
}
