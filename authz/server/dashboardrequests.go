package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// dashboardRequests are the authorization requests about which people decide at a
// dashboard. They are checked as those that people decide about here.
type dashboardRequests struct {
	cfg       *config.Site
	authorize *authorizationEndpoint
	flows     *flows.Flows
	persons   *persons.Persons
}

// open returns the flow of a request, and the servers that the person can grant in
// it.
func (d *dashboardRequests) open(r *http.Request, form url.Values, person storage.Identity) (*flows.Flow, []*config.Server, error) {
	req, err := d.authorize.check(r, form)
	if err != nil {
		return nil, nil, err
	}
	f := d.flows.Elsewhere(req, person)
	servers := d.flows.Servers(f)
	if len(servers) == 0 {
		return nil, nil, &oauth.Error{
			Status: http.StatusForbidden, Code: "access_denied", Description: "The person may use none of the servers that the application asks for.",
		}
	}
	return f, servers, nil
}

// decision is the answer for the client, which the dashboard passes on.
type decision struct {
	Code        string `json:"code,omitempty"`
	State       string `json:"state,omitempty"`
	RedirectURI string `json:"redirect_uri"`
	Issuer      string `json:"iss"`
	// RedirectTo is the whole address, so that a dashboard need not write one.
	RedirectTo string `json:"redirect_to"`
}

// decide ends a request as the person decided.
func (d *dashboardRequests) decide(w http.ResponseWriter, r *http.Request, person storage.Identity) (any, error) {
	form, err := readJSONParameters(w, r, "resource", "approved_resources")
	if err != nil {
		return nil, err
	}
	f, servers, err := d.open(r, form, person)
	if err != nil {
		return nil, err
	}
	var answer flows.Answer
	switch form.Get("decision") {
	case "", "allow":
		answer, err = d.approve(r, f, servers, form["approved_resources"])
	case "deny":
		answer = d.flows.DenyElsewhere(r.Context(), f)
	default:
		err = oauth.NewError("invalid_request", "The decision is allow or deny.")
	}
	if err != nil {
		return nil, err
	}
	return decision{answer.Code, f.State, f.RedirectURI, d.cfg.Issuer, answer.URL}, nil
}

// approve grants the servers that the person chose, or all that the client named.
// A client that names none gets the only one there is.
func (d *dashboardRequests) approve(r *http.Request, f *flows.Flow, servers []*config.Server, approved []string) (flows.Answer, error) {
	chosen := approved
	switch {
	case len(approved) > 0:
	case len(f.Resources) > 0 || len(servers) == 1:
		chosen = grants.ResourcesOf(servers)
	default:
		return flows.Answer{}, oauth.NewError("invalid_target",
			"The application names no server, and there are several: ask the person, and send approved_resources.")
	}
	if err := d.checkAccounts(r.Context(), f, chosen); err != nil {
		return flows.Answer{}, err
	}
	// The dashboard may go away now: what is kept of a person goes with the grant.
	ctx := context.WithoutCancel(r.Context())
	person, err := d.persons.Login(identity.Person{Identity: *f.Identity}).Keep(ctx)
	if err != nil {
		return flows.Answer{}, err
	}
	f.Identity = &person
	answer, err := d.flows.ApproveElsewhere(ctx, f, chosen)
	if errors.Is(err, flows.ErrInvalid) {
		return answer, oauth.NewError("invalid_request", "The person is no longer known here.")
	}
	return answer, err
}

// checkAccounts refuses, as our own page does, what is of no use without an account
// that the person has not connected.
func (d *dashboardRequests) checkAccounts(ctx context.Context, f *flows.Flow, chosen []string) error {
	connected, err := d.flows.Connected(ctx, *f.Identity)
	if err != nil {
		return err
	}
	for _, s := range d.cfg.ServersAt(chosen) {
		if s.Auth != nil && s.Auth.Mode.PerUser() && !s.Auth.Optional && !slices.Contains(connected, s.ID) {
			return &oauth.Error{
				Status: http.StatusForbidden, Code: "interaction_required",
				Description: "The person has to connect an account first: send them to its connect_url, which the description of the request has.",
			}
		}
	}
	return nil
}

// Descriptions of a request, for a page on which a person decides about it. Nobody
// vouches for client_name but who is in verified_by.
type (
	requestDescription struct {
		Client   clientDescription   `json:"client"`
		Redirect redirectDescription `json:"redirect"`
		Servers  []serverDescription `json:"servers"`
		// Choose tells that the client named no server and there are several: the
		// person chooses, and approved_resources says what.
		Choose bool              `json:"choose_servers"`
		Scope  string            `json:"scope"`
		Person personDescription `json:"person"`
	}
	clientDescription struct {
		ID   string `json:"client_id"`
		Name string `json:"client_name"`
		URI  string `json:"client_uri,omitempty"`
		// VerifiedBy is operator, host or nobody: an operator named the client; its
		// metadata is published at Host; anybody can have registered it.
		VerifiedBy string `json:"verified_by"`
		Host       string `json:"host,omitempty"`
	}
	redirectDescription struct {
		URI string `json:"uri"`
		// Kind is web, loopback (a program on the person's computer) or app.
		Kind string `json:"kind"`
		Host string `json:"host,omitempty"`
	}
	serverDescription struct {
		ID       string              `json:"id"`
		Title    string              `json:"title"`
		Resource string              `json:"resource"`
		Scopes   []scopeDescription  `json:"scopes"`
		Account  *accountDescription `json:"account,omitempty"`
	}
	scopeDescription struct {
		Name        string `json:"name"`
		Description string `json:"description,omitempty"`
	}
	// accountDescription is of a server on which each person has an account.
	accountDescription struct {
		Required  bool `json:"required"`
		Connected bool `json:"connected"`
		// ConnectURL is a page of this site on which the person connects it.
		ConnectURL string `json:"connect_url"`
	}
	personDescription struct {
		Subject string `json:"subject"`
		Name    string `json:"name"`
	}
)

// accountPage is the page, of package consent, on which people connect servers.
const accountPage = "/oauth/account"

// describe tells what a client asks of a person.
func (d *dashboardRequests) describe(w http.ResponseWriter, r *http.Request, person storage.Identity) (any, error) {
	form, err := authorizationParameters(w, r)
	if err != nil {
		return nil, err
	}
	f, servers, err := d.open(r, form, person)
	if err != nil {
		return nil, err
	}
	connected, err := d.flows.Connected(r.Context(), person)
	if err != nil {
		return nil, err
	}
	d.flows.Expect(f.Client)
	answer := requestDescription{
		Client: describeClient(f.Client), Redirect: describeRedirect(f.RedirectURI),
		Choose: len(f.Resources) == 0 && len(servers) > 1, Scope: strings.Join(grants.LimitScope(f.Scope, servers), " "),
		Person: personDescription{person.Subject, person.Name},
	}
	for _, s := range servers {
		answer.Servers = append(answer.Servers, d.describeServer(s, f.Scope, slices.Contains(connected, s.ID)))
	}
	return answer, nil
}

func describeClient(c *clients.Client) clientDescription {
	d := clientDescription{ID: c.ID, Name: c.Metadata.ClientName, URI: c.Metadata.ClientURI, VerifiedBy: "nobody"}
	switch c.Origin {
	case clients.Preregistered:
		d.VerifiedBy = "operator"
	case clients.MetadataDocument:
		d.VerifiedBy = "host"
		if u, err := url.Parse(c.ID); err == nil {
			d.Host = u.Host
		}
	}
	return d
}

func describeRedirect(uri string) redirectDescription {
	d := redirectDescription{URI: uri, Kind: "app"}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return d
	}
	d.Kind, d.Host = "web", u.Host
	if oauth.IsLoopbackHost(u.Hostname()) {
		d.Kind = "loopback"
	}
	return d
}

func (d *dashboardRequests) describeServer(s *config.Server, scope []string, connected bool) serverDescription {
	v := serverDescription{ID: s.ID, Title: cmp.Or(s.Title, s.ID), Resource: s.Resource, Scopes: []scopeDescription{}}
	for _, name := range scope {
		if !s.HasScope(name) || name == oauth.ConnectScope(s.ID) {
			continue
		}
		words := d.cfg.DescribeScope(name)
		if words == "" && name == oauth.DefaultScope {
			words = oauth.DefaultScopeWords
		}
		v.Scopes = append(v.Scopes, scopeDescription{name, words})
	}
	if s.Auth != nil && s.Auth.Mode.PerUser() {
		v.Account = &accountDescription{
			Required: !s.Auth.Optional, Connected: connected, ConnectURL: d.cfg.Issuer + accountPage + "?" + url.Values{"focus": {s.ID}}.Encode(),
		}
	}
	return v
}

// readJSONParameters returns the members of a JSON object as parameters.
func readJSONParameters(w http.ResponseWriter, r *http.Request, lists ...string) (url.Values, error) {
	const code = "invalid_request"
	if err := oauth.RequireJSON(r, code); err != nil {
		return nil, err
	}
	body, err := oauth.ReadBody(w, r, maxDashboardBody, code)
	if err != nil {
		return nil, err
	}
	return withoutControls(oauth.ParseJSONParameters(body, lists...))
}
