package accounts

import (
	"net/url"
	"strings"
)

// refreshParams says which optional parameters a refresh carries. The zero
// value is what suits most providers: scope is left out, which means the one
// that was granted (RFC 6749 section 6), and resource is there (RFC 8707
// section 2.2). Salesforce refuses scope, Entra does not do without it in
// every tenant, and some that take a resource elsewhere refuse it here.
type refreshParams struct {
	Scope      bool `json:"scope,omitempty"`
	NoResource bool `json:"no_resource,omitempty"`
}

// refreshRequest returns the form of a refresh, and the link to send it by.
func (r *refreshing) refreshRequest(params refreshParams) (link, url.Values) {
	l := r.opened.Link
	if params.NoResource {
		l.Resource = ""
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.opened.RefreshToken}}
	if params.Scope {
		// What was granted, never more (RFC 6749 section 6).
		form.Set("scope", strings.Join(r.c.Scopes, r.server.scopeSeparator()))
	}
	return l, form
}

// aboutParams reports whether the provider refused the request for what it was
// written with, and so did not look at the token.
func (e *tokenError) aboutParams() bool {
	return e.Failure == refused && (e.Code == "invalid_request" || e.Code == "invalid_scope" || e.Code == "invalid_target")
}

// otherParams returns what else to try after such a refusal, each once.
func (r *refreshing) otherParams(failure *tokenError) []refreshParams {
	if !failure.aboutParams() {
		return nil
	}
	var others []refreshParams
	if failure.Code != "invalid_target" && len(r.c.Scopes) > 0 {
		other := r.opened.RefreshParams
		other.Scope = !other.Scope
		others = append(others, other)
	}
	if failure.Code != "invalid_scope" && r.opened.Link.Resource != "" {
		other := r.opened.RefreshParams
		other.NoResource = !other.NoResource
		others = append(others, other)
	}
	return others
}
