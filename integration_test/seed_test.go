package integration_test

import (
	"os/exec"
	"strings"
	"testing"
)

// behaviour is something that the gateways and identity providers did from which
// this project came.
type behaviour struct {
	name string
	// different is what is different here, and why; empty for nothing.
	different string
	// check shows it on a running gateway.
	check func(t *testing.T, s *seedSite)
	// proved names, instead, the test that shows it where the clock or the store can
	// be made to do what it takes: its package, and its name.
	proved string
}

// gatewayBehaviours are those of an authorization server in front of MCP servers.
var gatewayBehaviours = []behaviour{
	{
		name:      "everything is 404 while no server needs it",
		different: "The authorization server is there for every server, as the gate needs it; only what connects accounts is not.",
		check:     nothingToConnect,
	},
	{name: "503 while the store is unavailable", proved: "caddymodule TestStopWhileTheStoreCannotBeOpened"},
	{
		name:      "GET /.well-known/oauth-protected-resource",
		different: "Each server has its own document, with the scopes that calls of it need; the root has that of the first server.",
		check:     protectedResource,
	},
	{
		name:      "GET /.well-known/oauth-authorization-server",
		different: "Names what is new beside it: revocation, introspection, iss, client metadata documents. The issuer comes from the configuration, not from Host.",
		check:     authorizationServer,
	},
	{
		name:      "POST /api/oauth/per-user/register",
		different: "Confidential clients, too. Redirect URIs with a dangerous scheme are refused, and errors are those of RFC 7591.",
		check:     registers,
	},
	{
		name:      "GET /api/oauth/per-user/authorize",
		different: "Nothing is stored: the request is sealed into flow_id, and the cookie is of that flow alone.",
		check:     authorizes,
	},
	{name: "GET /oauth/consent", check: consentPage},
	{name: "POST /api/oauth/per-user/consent/vk", check: signsInWithKey},
	{
		name:      "POST /api/oauth/per-user/consent/user-id",
		different: "Off unless the operator lists it: it lets anybody be anybody. Marked as not verified.",
		check:     signsInWithUserID,
	},
	{
		name:      "POST /api/oauth/per-user/consent/skip",
		different: "The operator lists `identity anonymous`; not listing it is what enforced authentication was.",
		check:     skips,
	},
	{name: "GET /oauth/consent/mcps", different: "The client is named too, with who vouches for it, and each server is ticked or not.", check: servicesPage},
	{
		name:      "GET /api/oauth/per-user/upstream/authorize",
		different: "A form, not a link: nobody is sent to a provider by opening an address. No session in an address is a credential.",
		check:     startsAtProvider,
	},
	{
		name:      "GET /api/oauth/callback",
		different: "The browser must be the one that left, iss that of the provider; the page has our words, never the provider's. No token is on it.",
		check:     callback,
	},
	{name: "POST /api/oauth/per-user/consent/submit", different: "The grant lasts as long as its refresh tokens, 90 days at most.", check: submits},
	{name: "410 for a flow that has expired", proved: "consent TestWalkExpires"},
	{
		name:      "POST /api/oauth/per-user/token",
		different: "The refresh token is returned, and rotates. The token is for one server; the loopback port of the redirect URI is free.",
		check:     redeems,
	},
	{name: "a code lives five minutes", proved: "authz/server TestCodeExpires_B12"},
	{
		name:      "GET and DELETE /api/oauth/config/{id}",
		different: "In Caddy's admin API, which strangers cannot reach, at /mcp_oauth/connections/{id}.",
		check:     connectionStatus,
	},
	{
		name:      "an upstream token belongs to the virtual key, else the user id, else the session",
		different: "Instead of the session it is the grant, which the person can see and end.",
		check:     ownerOfAccount,
	},
	{name: "/mcp takes the access token or a virtual key", check: bearers},
	{
		name:      "a call that lacks an upstream token is answered with a link",
		different: "In the way that the client understands, as elicitation or in words; the link is no credential.",
		check:     linkOfCall,
	},
	{name: "upstream refresh is tried again after 5xx, and 401 or invalid_grant is for good", different: "Tried again only where the first try cannot have used up the refresh token.", proved: "authz/accounts TestRefreshFails"},
	{name: "form-encoded token replies are understood", proved: "authz/client TestTokenReply_K17_K18"},
	{name: "the old refresh token is kept when none comes back", proved: "authz/accounts TestRefreshReplies_K17"},
	{name: "upstream credentials: none, headers, one shared account, an account each, a key each", check: credentials},
	{name: "client id and secret can be environment references", different: "Only references: a secret in the clear is refused or warned of.", check: secretsFromEnvironment},
}

// dashboardBehaviours are those of an identity provider with an external dashboard.
var dashboardBehaviours = []behaviour{
	{
		name:      "discovery names the dashboard's authorization endpoint",
		different: "Token and registration endpoints are those of every client; the shorter paths are aliases. iss is promised, as the dashboard is given it.",
		check:     dashboardDiscovery,
	},
	{name: "POST /api/oauth/register", different: "Answered once the client is stored: a registration is never lost and answered 201.", check: dashboardRegister},
	{
		name:      "POST /api/oauth/authorize",
		different: "Only registered redirect URIs, and PKCE with S256. Answers iss and the whole address, too.",
		check:     dashboardAuthorize,
	},
	{name: "a code lives ten minutes", proved: "authz/server TestCodeFromDashboard_B04_B10_B11_B12"},
	{
		name:      "POST /api/oauth/token",
		different: "One of many that race for a code gets tokens: it is claimed in the transaction that issues them. Errors are those of RFC 6749.",
		check:     dashboardToken,
	},
	{
		name:      "the access token is a JWT with sub, email, role and displayName, for 30 days",
		different: "Opaque unless the operator wants JWTs, for an hour unless they say 30 days, signed with a key of its own; a revoked one ends at once.",
		check:     dashboardAccessToken,
	},
	{name: "plain PKCE, no PKCE and foreign redirect URIs", different: "Were accepted, and are refused.", check: dashboardRefuses},
}

// Each thing that the seeds of this project did is done here, or differently for a
// reason that stands beside it.
func TestSeedBehaviour(t *testing.T) {
	s := runSeed(t)
	for _, b := range gatewayBehaviours {
		t.Run(b.name, func(t *testing.T) { b.run(t, s) })
	}
	for _, b := range dashboardBehaviours {
		t.Run("dashboard: "+b.name, func(t *testing.T) { b.run(t, s) })
	}
}

func (b behaviour) run(t *testing.T, s *seedSite) {
	if b.check != nil {
		b.check(t, s)
		return
	}
	folder, name, _ := strings.Cut(b.proved, " ")
	if out, err := exec.Command("grep", "-rq", "^func "+name+"(", "../"+folder, "--include=*_test.go").CombinedOutput(); err != nil {
		t.Errorf("there is no test %s in %s: %v %s", name, folder, err, out)
	}
}
