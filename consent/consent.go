package consent

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/flash"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/known"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/landing"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/toolchanges"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// accountPath is where people look after what they let in.
const accountPath = landing.AccountPath

// Paths of the pages of a flow behind its first, which is server.ConsentPath.
const (
	servicesPath = server.ConsentPath + "/mcps"
	flowKeyPath  = server.ConsentPath + "/key"
)

// Paths of the forms of a flow.
const (
	flowFormsPath   = server.EndpointPrefix + "consent/"
	submitPath      = flowFormsPath + "submit"
	flowConnectPath = server.EndpointPrefix + "upstream/authorize"
	flowPastePath   = server.EndpointPrefix + "upstream/key"
)

// Paths of the forms of the account and connect pages.
const (
	accountFormsPath      = accountPath + "/"
	accountConnectPath    = accountFormsPath + "connect"
	accountKeyPath        = accountFormsPath + "key" // a page too
	answerPath            = accountFormsPath + "answer"
	disconnectPath        = accountFormsPath + "disconnect"
	renamePath            = accountFormsPath + "rename"
	choosePath            = accountFormsPath + "choose"
	approveToolPath       = accountFormsPath + "approve-tool"
	revokeGrantPath       = accountFormsPath + "revoke"
	signOutPath           = accountFormsPath + "sign-out"
	signOutEverywherePath = accountFormsPath + "sign-out-everywhere"
)

// Consent is the pages of one authorization server.
type Consent struct {
	requests    *requests
	connections *connections
	identity    *identityPage
	services    *servicesPage
	signIn      *signInPage
	login       *loginCallback
	account     *accountPage
	link        *linkPage
	flowConnect *flowConnect
	targets     *targets
	connector   *connector
	callback    *callback
}

// Deps is what the pages work with.
type Deps struct {
	Server *server.AuthorizationServer
	Broker *accounts.Broker // nil if people connect nothing
	Logins *identity.Logins // nil if nobody signs in elsewhere
	Pages  *pages.Pages
	Events *event.Recorder
	// Catalog is what the servers said that they offer.
	Catalog *catalog.Catalog
	// Asker asks the servers for it; nil if they are not asked.
	Asker tools.Asker
	// Changed are tools that people can approve; nil if there are none.
	Changed *toolchanges.Tools
	// LinkUsed is told the ticket of each link with which somebody connected a
	// server; nil if nobody waits for that.
	LinkUsed func(ticket string)
	// LinkAskedBy returns the grant of the client that gave a person the ticket,
	// and how the client was told to; nil if nobody knows.
	LinkAskedBy func(ticket string) (grantID string, how mcp.Signal)
}

// New returns the pages of an authorization server.
func New(d Deps) *Consent {
	if d.Broker == nil {
		return newConsent(d, nil)
	}
	return newConsent(d, d.Broker)
}

func newConsent(d Deps, b broker) *Consent {
	as, cfg, text := d.Server, d.Server.Config(), d.Pages.Text()
	web := &web{pages: d.Pages, events: d.Events}
	connections := &connections{cfg: cfg, broker: b, text: text}
	describer := &describer{cfg: cfg, text: text, site: siteName(cfg.Issuer)}
	signIn := &signIn{cfg: cfg, limits: as.Attempts, persons: as.Persons, text: text}
	cookies := stateCookies{prefix: "mcp_trip_", secure: isHTTPS(cfg.Issuer)}
	connector := &connector{web: web, limits: as.Attempts, broker: b, describer: describer, cookies: cookies, linkUsed: d.LinkUsed}
	logins := &logins{
		web: web, issuer: cfg.Issuer, pending: d.Logins, limits: as.Attempts,
		cookies: stateCookies{prefix: "mcp_login_", secure: isHTTPS(cfg.Issuer)},
	}
	people := &known.People{Site: cfg, Sessions: as.Sessions, Flows: as.Flows, Persons: as.Persons, Limits: as.Attempts}
	identityPage := &identityPage{web: web, flows: as.Flows, known: people, connections: connections, signIn: signIn, logins: logins, describer: describer}
	signInPage := &signInPage{web: web, sessions: as.Sessions, links: as.Links, connections: connections, signIn: signIn, logins: logins, describer: describer}
	offers := &tools.Source{Config: cfg, Catalog: d.Catalog, Asker: d.Asker}
	services := &servicesPage{web: web, flows: as.Flows, known: people, grants: as.Grants, tools: offers, connections: connections, describer: describer}
	targets := &targets{cfg: cfg, text: text, policy: as.Policy, links: as.Links, connections: connections}
	return &Consent{
		requests:    &requests{web: web, flows: as.Flows, sessions: as.Sessions, persons: as.Persons, cfg: cfg},
		connections: connections,
		identity:    identityPage,
		services:    services,
		signIn:      signInPage,
		login:       &loginCallback{logins: logins, signIn: signIn, flows: as.Flows, identity: identityPage, signInPage: signInPage},
		account: &accountPage{
			web: web, sessions: as.Sessions, grants: as.Grants, persons: as.Persons, policy: as.Policy,
			tools: offers, connections: connections, connector: connector, signIn: signInPage, describer: describer,
			flash: flash.CookieOf(cfg.Issuer, "account"), changed: d.Changed,
		},
		link:        &linkPage{web: web, grants: as.Grants, askedBy: d.LinkAskedBy, targets: targets, connections: connections, connector: connector, signIn: signInPage, describer: describer},
		flowConnect: &flowConnect{web: web, flows: as.Flows, known: people, connections: connections, services: services, describer: describer},
		targets:     targets,
		connector:   connector,
		callback:    &callback{web: web, sessions: as.Sessions, broker: b, connector: connector, cookies: cookies, cfg: cfg},
	}
}

// Routes returns the endpoints, each to be served at the site's root.
func (c *Consent) Routes() []server.Route {
	page, form := c.requests.page, c.requests.form
	visit, act := c.requests.visit, c.requests.act
	signedIn := c.requests.signedIn
	routes := []server.Route{
		{Path: server.ConsentPath, Handler: page(c.identity.show)},
		{Path: servicesPath, Handler: page(c.services.show)},
		{Path: submitPath, Handler: form(c.services.submit)},
		{Path: accountPath, Handler: visit(c.account.show)},
		{Path: revokeGrantPath, Handler: act(signedIn(c.account.revoke))},
		{Path: approveToolPath, Handler: act(signedIn(c.account.approveTool))},
		{Path: choosePath, Handler: act(signedIn(c.account.choose))},
		{Path: signOutPath, Handler: act(c.account.signOut)},
		{Path: signOutEverywherePath, Handler: act(signedIn(c.account.signOutEverywhere))},
	}
	for _, m := range c.methods() {
		routes = append(routes, server.Route{Path: flowFormsPath + m.Form, Handler: form(c.identity.accept(m.Kind))})
		if !m.SingleUse {
			routes = append(routes, server.Route{Path: accountFormsPath + m.Form, Handler: c.requests.anybody(c.signIn.accept(m.Kind))})
		}
	}
	routes = append(routes, c.login.routes()...)
	for _, route := range []server.Route{
		{Path: flowConnectPath, Handler: byMethod(c.flowConnect.toButton(), form(c.flowConnect.accept(c.connector.start)))},
		{Path: flowKeyPath, Handler: page(c.flowConnect.keyPage(c.connector.showKeyPage))},
		{Path: flowPastePath, Handler: form(c.flowConnect.accept(c.connector.saveKeys))},
		{Path: server.ConnectPath, Handler: visit(c.link.show)},
		{Path: accountConnectPath, Handler: act(c.targets.accept(c.connector.start))},
		{Path: accountKeyPath, Handler: byMethod(visit(c.targets.keyPage(c.connector.showKeyPage)), act(c.targets.accept(c.connector.saveKeys)))},
		{Path: disconnectPath, Handler: act(signedIn(c.account.disconnect))},
		{Path: renamePath, Handler: act(signedIn(c.account.rename))},
		{Path: answerPath, Handler: c.callback.answerPage()},
		{Path: config.SharedCallbackPath, Handler: c.callback.handler()},
		{Path: config.SharedCallbackPath + "/", Handler: c.callback.handler()},
	} {
		if !c.connections.any() {
			route.Handler = http.HandlerFunc(nothingHere)
		}
		routes = append(routes, route)
	}
	return routes
}

// methods returns the ways to sign in that forms may come for: also those that a
// page of an earlier configuration may have.
func (c *Consent) methods() identity.Methods {
	methods := c.requests.cfg.SignIn.ForPeople()
	for _, m := range identity.Builtin(identity.Options{}) {
		if methods.Of(string(m.Kind)) == nil {
			methods = append(methods, m)
		}
	}
	return methods
}

// byMethod serves page loads with page and everything else with form.
func byMethod(page, form http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			page.ServeHTTP(w, r)
			return
		}
		form.ServeHTTP(w, r)
	})
}

// nothingHere answers where a site without anything to connect has no page.
func nothingHere(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "Not found", http.StatusNotFound)
}

// siteName returns the issuer's host, as people see it.
func siteName(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return hostOf(u)
}

// pageURL returns the address of a page for a flow, with further parameters.
// The flow_id is sealed and worthless in any other browser.
func pageURL(path string, f *flows.Flow, code string, more ...string) string {
	return withQuery(path, append([]string{"flow_id", f.SealedID, "error", code}, more...)...)
}

// withQuery returns a path of ours with parameters, names and values in turn.
// Those without a value are left out.
func withQuery(path string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// withMore returns an address of ours with one more parameter.
func withMore(address, name, value string) string {
	path, query, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		values = url.Values{}
	}
	values.Set(name, value)
	return path + "?" + values.Encode()
}
