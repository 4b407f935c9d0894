package server

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// rejectedRequestsPerMinute is how many wrong requests of one address are told
// what is wrong with them: more may be a search for clients.
const rejectedRequestsPerMinute = 60

const maxQueryBytes = 8 << 10 // of an authorization request

var errTooManyRejected = &oauth.Error{
	Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Reason: "too_many_wrong_requests",
	Description: "Too many requests from your address were wrong; try again in a minute.",
}

// authorizationEndpoint is OAuth 2.1 section 3.1. It checks
// the request, binds it to the browser, and sends the person to the consent
// pages. It stores nothing and redirects nowhere else, unless the operator has
// people approve at a dashboard: whatever is wrong is
// told on our own page, for nobody has vouched for the redirect URI yet.
type authorizationEndpoint struct {
	cfg      *config.Site
	policy   *grants.Policy
	flows    *flows.Flows
	clients  *clients.Directory
	attempts *ratelimit.Attempts
	pages    Pages
	events   *event.Recorder
}

func (e *authorizationEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	form, err := authorizationParameters(w, r)
	var req *flows.AuthorizationRequest
	if err == nil {
		req, err = e.check(r, form)
	}
	if err != nil {
		e.showError(w, r, e.countRejected(r, err))
		return
	}
	target, err := e.begin(r.Context(), w, req, form)
	if err != nil {
		e.showError(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", target)
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusFound)
}

// begin returns where the person decides about a request: on the consent pages, or
// at a dashboard, which hears of it as the client wrote it.
func (e *authorizationEndpoint) begin(ctx context.Context, w http.ResponseWriter, req *flows.AuthorizationRequest, form url.Values) (string, error) {
	if d := e.cfg.ConsentElsewhere(); d != nil {
		e.flows.Expect(req.Client)
		return d.AuthorizeURL + "?" + form.Encode(), nil
	}
	id, err := e.flows.Begin(ctx, w, req)
	return ConsentPath + "?flow_id=" + id, err
}

// countRejected returns the refusal of a request, or errTooManyRejected if there
// were many from its address. A right request is never counted nor refused for
// it: any web page can make a person's browser send wrong ones.
func (e *authorizationEndpoint) countRejected(r *http.Request, refusal error) error {
	if oauth.AsError(refusal).Status >= http.StatusInternalServerError || // nothing is wrong with the request
		e.attempts.AllowAddress(r, "authorize_refused", rejectedRequestsPerMinute) {
		return refusal
	}
	return errTooManyRejected
}

// check returns what a client asks for with the parameters, wherever they came
// from.
func (e *authorizationEndpoint) check(r *http.Request, form url.Values) (*flows.AuthorizationRequest, error) {
	client, redirectURI, err := e.requestClient(r, form)
	if err != nil {
		return nil, err
	}
	if err := checkResponse(form); err != nil {
		return nil, err
	}
	if err := checkChallenge(form); err != nil {
		return nil, err
	}
	resources, err := e.policy.Resolve(form["resource"])
	if err != nil {
		return nil, err
	}
	servers := e.cfg.Servers
	if len(resources) > 0 {
		servers = e.policy.ServersAt(resources)
	}
	scope, err := grants.ResolveScope(form.Get("scope"), servers)
	if err != nil {
		return nil, err
	}
	return &flows.AuthorizationRequest{
		Client: client, RedirectURI: redirectURI, State: form.Get("state"), Challenge: form.Get("code_challenge"),
		Scope: scope, Resources: resources,
	}, nil
}

// authorizationParameters returns the parameters of a GET's query or a POST's
// form (OAuth 2.1 section 3.1).
func authorizationParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	switch r.Method {
	case http.MethodGet:
		if len(r.URL.RawQuery) > maxQueryBytes {
			return nil, &oauth.Error{Status: http.StatusRequestURITooLong, Code: "invalid_request", Description: "The request is too large."}
		}
		return withoutControls(oauth.ParseParameters(r.URL.RawQuery))
	case http.MethodPost:
		body, err := oauth.ReadForm(w, r, maxQueryBytes)
		if err != nil {
			return nil, err
		}
		return withoutControls(oauth.ParseParameters(body))
	}
	w.Header().Set("Allow", "GET, POST")
	return nil, &oauth.Error{Status: http.StatusMethodNotAllowed, Code: "invalid_request", Description: "This endpoint answers GET and POST only."}
}

// withoutControls refuses control characters anywhere but in state, which is
// the client's own and only ever echoed in encoded form.
func withoutControls(values url.Values, err error) (url.Values, error) {
	if err != nil {
		return nil, err
	}
	for name, all := range values {
		if name != "state" && slices.ContainsFunc(all, oauth.HasControlCharacter) {
			return nil, oauth.NewError("invalid_request", "A parameter contains control characters.")
		}
	}
	return values, nil
}

// requestClient returns the client and where it waits. It must have registered
// the URI (OAuth 2.1 section 2.3); only a client with a single one, whose port
// is not left open, can leave it out.
func (e *authorizationEndpoint) requestClient(r *http.Request, form url.Values) (*clients.Client, string, error) {
	id := form.Get("client_id")
	if id == "" {
		return nil, "", oauth.NewError("invalid_request", "The client_id is missing.").Because("client_id_missing")
	}
	client, err := e.clients.Lookup(r.Context(), id, clients.RequesterOf(r, e.attempts))
	if err != nil {
		return nil, "", err
	}
	registered, requested := client.Metadata.RedirectURIs, form.Get("redirect_uri")
	if requested == "" {
		if len(registered) != 1 || strings.HasPrefix(registered[0], "http:") {
			return nil, "", oauth.NewError("invalid_request", "The redirect_uri is missing.").Because("redirect_uri_missing")
		}
		return client, registered[0], nil
	}
	if !oauth.RedirectURIAllowed(registered, requested) {
		return nil, "", oauth.NewError("invalid_request", "The redirect_uri is not one that the application registered.").Because("redirect_uri_unknown")
	}
	return client, requested, nil
}

// checkResponse accepts a code in the query of the redirect URI, and nothing else.
func checkResponse(form url.Values) error {
	switch form.Get("response_type") {
	case "code":
	case "":
		return oauth.NewError("invalid_request", "The response_type is missing.")
	default:
		return oauth.NewError("unsupported_response_type", "The only response_type is code.")
	}
	if mode := form.Get("response_mode"); mode != "" && mode != "query" {
		return oauth.NewError("invalid_request", "The only response_mode is query.")
	}
	if form.Has("request") {
		return oauth.NewError("request_not_supported", "Request objects are not supported.")
	}
	if form.Has("request_uri") {
		return oauth.NewError("request_uri_not_supported", "Request objects are not supported.")
	}
	return nil
}

// checkChallenge requires PKCE of every client (OAuth 2.1 section 7.5). A
// missing method would mean plain, which shows the secret to whoever sees the
// request.
func checkChallenge(form url.Values) error {
	if !form.Has("code_challenge") {
		return oauth.NewError("invalid_request", "PKCE is required: the code_challenge is missing.").Because("pkce_missing")
	}
	if form.Get("code_challenge_method") != oauth.MethodS256 {
		return oauth.NewError("invalid_request", "PKCE is required with the code_challenge_method S256.").Because("pkce_method")
	}
	if !oauth.ValidCodeChallenge(form.Get("code_challenge")) {
		return oauth.NewError("invalid_request", "The code_challenge is not a SHA-256 in base64url.").Because("pkce_malformed")
	}
	return nil
}

// showError shows a person what is wrong with a request.
func (e *authorizationEndpoint) showError(w http.ResponseWriter, r *http.Request, err error) {
	refusal := oauth.AsError(err)
	id := e.events.Refer(r.Context(), refusal.Event(event.SignInRefused))
	oauth.SetRetryAfter(w, refusal.Status)
	e.pages.Error(w, r, refusal.Status, refusal.Description+" ("+refusal.Code+")", id)
}
