package consent

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

// AccountPath is where people look after what they let in.
const AccountPath = "/oauth/account"

// Paths of the forms of a flow.
const (
	keyPath       = authz.ConsentFormsPath + "vk"
	userIDPath    = authz.ConsentFormsPath + "user-id"
	anonymousPath = authz.ConsentFormsPath + "skip"
	caddyPath     = authz.ConsentFormsPath + "caddy"
	submitPath    = authz.ConsentFormsPath + "submit"

	flowConnectPath = "/api/oauth/per-user/upstream/authorize"
	flowPastePath   = "/api/oauth/per-user/upstream/key"
	flowKeyPath     = "/oauth/consent/key" // a page
)

// Paths of the forms of the account and connect pages.
const (
	accountFormsPath      = AccountPath + "/"
	accountConnectPath    = accountFormsPath + "connect"
	accountKeyPath        = accountFormsPath + "key" // a page too
	answerPath            = accountFormsPath + "answer"
	disconnectPath        = accountFormsPath + "disconnect"
	revokePath            = accountFormsPath + "revoke"
	signOutPath           = accountFormsPath + "sign-out"
	signOutEverywherePath = accountFormsPath + "sign-out-everywhere"
)

// Routes returns the endpoints, each to be served at the site's root.
func (c *Consent) Routes() []authz.Route {
	routes := []authz.Route{
		{Path: authz.ConsentPath, Handler: c.page(c.showIdentity)},
		{Path: authz.ServicesPath, Handler: c.page(c.showServices)},
		{Path: keyPath, Handler: c.form(c.identifyBy(c.byKey))},
		{Path: userIDPath, Handler: c.form(c.identifyBy(c.byUserID))},
		{Path: anonymousPath, Handler: c.form(c.identifyBy(c.anonymously))},
		{Path: caddyPath, Handler: c.form(c.identifyBy(c.byCaddy))},
		{Path: submitPath, Handler: c.form(c.submit)},

		{Path: AccountPath, Handler: c.visit(c.showAccount)},
		{Path: accountFormsPath + "vk", Handler: c.act(c.signInBy(c.byKey))},
		{Path: accountFormsPath + "user-id", Handler: c.act(c.signInBy(c.byUserID))},
		{Path: accountFormsPath + "caddy", Handler: c.act(c.signInBy(c.byCaddy))},
		{Path: revokePath, Handler: c.act(c.signedIn(c.revoke))},
		{Path: signOutPath, Handler: c.act(c.signOut)},
		{Path: signOutEverywherePath, Handler: c.act(c.signedIn(c.signOutEverywhere))},
	}
	for _, route := range []authz.Route{
		{Path: flowConnectPath, Handler: byMethod(c.toButton(), c.form(c.connectInFlow))},
		{Path: flowKeyPath, Handler: c.page(c.showFlowKey)},
		{Path: flowPastePath, Handler: c.form(c.pasteInFlow)},
		{Path: authz.ConnectPath, Handler: c.visit(c.showConnect)},
		{Path: accountConnectPath, Handler: c.act(c.connect)},
		{Path: accountKeyPath, Handler: byMethod(c.visit(c.showKey), c.act(c.paste))},
		{Path: disconnectPath, Handler: c.act(c.signedIn(c.disconnect))},
		{Path: answerPath, Handler: c.answerPage()},
		{Path: accounts.SharedCallbackPath, Handler: c.callback()},
		{Path: accounts.SharedCallbackPath + "/", Handler: c.callback()},
	} {
		if !c.connectsAny() {
			route.Handler = http.HandlerFunc(nothingHere)
		}
		routes = append(routes, route)
	}
	return routes
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
