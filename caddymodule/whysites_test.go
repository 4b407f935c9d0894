package caddymodule

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// sitePain is something that goes wrong at a site with lines of its own.
type sitePain struct {
	name    string
	lines   string
	server  string // instead of one without accounts
	happens func(a *app, p *person) string
	after   time.Duration
	fault   string
	at      faults.Party
}

// registers is what a site needs to be signed in to with a client that registers.
func registersThen(then func(a *app, p *person) string) func(*app, *person) string {
	return func(a *app, p *person) string { a.registers(201, nil); return then(a, p) }
}

// answers has what should be an MCP server answer to a call, and returns no
// reference: the answer goes on as it is.
func answers(code int, mediaType string) func(*app, *person) string {
	return registersThen(func(a *app, p *person) string {
		a.redeems(200, a.approves(p))
		up := oauthtest.Serve(a.g.t, oauthtest.Answer(code, mediaType, "x"))
		a.g.load(behindProxy(a.g.caddyfile(people("alice") + "server notion /mcp " + up.URL + "/mcp")))
		a.call(a.access, code)
		return ""
	})
}

var sitePains = []sitePain{{
	name: "Claude Code", lines: "registration {\ndynamic off\n}\n",
	happens: func(a *app, _ *person) string { a.call("", 401); a.discovers(); return "" },
	after:   2 * time.Minute, fault: "needs-registration", at: faults.Operator,
}, {
	name: "with a token", lines: "registration {\ninitial_access_token {env.INITIAL_TOKEN}\n}\n",
	happens: func(a *app, _ *person) string { return member(a.registers(401, nil), "correlation_id") },
	fault:   "registration-needs-token", at: faults.Operator,
}, {
	name: "mcporter", lines: "registration {\nrate_limit 1\n}\n",
	happens: registersThen(func(a *app, _ *person) string { return member(a.registers(429, nil), "correlation_id") }),
	fault:   "registers-each-time", at: faults.Client,
}, {
	name: "no document", happens: func(a *app, p *person) string {
		host := oauthtest.NewHost(a.g.t)
		a.id = host.URL + "/client.json"
		return reference(a.opens(p))
	}, fault: "document-unusable", at: faults.Client,
}, {
	name: "other documents", lines: "registration {\nmetadata_documents off\n}\n",
	happens: func(a *app, p *person) string {
		a.id = "https://claude.ai/oauth/client.json"
		return reference(a.opens(p))
	},
	fault: "document-not-accepted", at: faults.Operator,
}, {
	name: "step up", happens: registersThen(func(a *app, p *person) string {
		a.redeems(200, a.approves(p))
		a.g.load(behindProxy(a.g.caddyfile(people("alice", "bob") + siteLines(a.g.t, "scopes more"))))
		a.call(a.access, 403)
		return ""
	}), after: 2 * time.Minute, fault: "step-up-ignored", at: faults.Client,
}, {
	name: "mistyped", happens: registersThen(func(a *app, p *person) string {
		p.browser.Submit(a.g.t, a.opens(p), "/api/oauth/per-user/consent/vk", url.Values{"vk": {"no-key"}})
		return ""
	}), fault: "wrong-key", at: faults.Person,
}, {
	name: "private window", happens: registersThen(func(a *app, p *person) string {
		page := a.opens(p)
		return reference(a.user("alice").visit(page.URL.String()))
	}), fault: "other-browser", at: faults.Person,
}, {
	name: "double click", happens: registersThen(func(a *app, p *person) string {
		page := a.signsIn(p)
		decide := url.Values{"decision": {"approve"}}
		p.browser.Submit(a.g.t, page, "/api/oauth/per-user/consent/submit", decide)
		return reference(p.browser.Submit(a.g.t, page, "/api/oauth/per-user/consent/submit", decide))
	}), fault: "answered-twice", at: faults.Person,
}, {
	name: "taken back", happens: registersThen(func(a *app, p *person) string {
		a.redeems(200, a.approves(p))
		grants, _ := a.g.state().store.GrantsOf(a.g.t.Context(), a.g.url, "virtual_key:alice", time.Now())
		p.post("/oauth/account/revoke", p.accountPage(), "grant", grants[len(grants)-1].ID)
		return ""
	}), fault: "taken-back", at: faults.Person,
}, {
	name: "operator", happens: registersThen(func(a *app, p *person) string {
		a.redeems(200, a.approves(p))
		a.g.load(behindProxy(a.g.caddyfile(people("bob") + siteLines(a.g.t))))
		a.refreshes(400, a.refreh)
		return ""
	}), fault: "ended-by-operator", at: faults.Operator,
}, {
	name: "shared", server: "insecure_allow_loopback\nserver notion /mcp http://127.0.0.1:1/mcp {\nauth oauth\n}\n",
	happens: func(a *app, p *person) string {
		return referencePattern.FindString(status(a.g.t, p.call(toolCall), 503))
	}, fault: "shared-account-missing", at: faults.Operator,
}, {
	name: "redirects", server: "server notion /mcp http://127.0.0.1:1/mcp\n",
	happens: func(a *app, p *person) string {
		up := oauthtest.Serve(a.g.t, oauthtest.Redirect("https://elsewhere.example/mcp"))
		a.g.load(behindProxy(a.g.caddyfile(people("alice") + "server notion /mcp " + up.URL + "/mcp")))
		return referencePattern.FindString(status(a.g.t, p.call(toolCall), 502))
	}, fault: "server-redirects", at: faults.Operator,
}, {
	name: "broken", server: "server notion /mcp http://127.0.0.1:1/mcp\n",
	happens: answers(500, "application/json"), fault: "server-fails", at: faults.Operator,
}, {
	name: "nothing there", server: "server notion /mcp http://127.0.0.1:1/mcp\n",
	happens: answers(404, "text/plain"), fault: "no-server-at-address", at: faults.Operator,
}, {
	name: "a web page", server: "server notion /mcp http://127.0.0.1:1/mcp\n",
	happens: answers(200, "text/html; charset=utf-8"), fault: "no-server-at-address", at: faults.Operator,
}, {
	name: "keyed", server: "server notion /mcp http://127.0.0.1:1/mcp\n",
	happens: func(a *app, p *person) string {
		up := oauthtest.Serve(a.g.t, oauthtest.Answer(401, "text/plain", "no"))
		a.g.load(behindProxy(a.g.caddyfile(people("alice") + "insecure_allow_loopback\nserver notion /mcp " + up.URL + "/mcp {\nauth per_user_headers {\nheader X-Key \"Token \" \"Your key\"\n}\n}")))
		page := p.post("/oauth/account/connect", p.accountPage(), "server", "notion")
		return referencePattern.FindString(p.post("/oauth/account/key", page, "server", "notion", "key-0", "bad"))
	}, fault: "key-refused", at: faults.Person,
}, {
	name: "too many", lines: "registration {\nrate_limit 1000\n}\n",
	happens: registersThen(func(a *app, p *person) string {
		page := a.opens(p, "response_type", "token")
		for range 1000 { // as many as may come at once, and those that time allows meanwhile
			if page.Status == 429 {
				break
			}
			page = a.opens(p, "response_type", "token")
		}
		return reference(page)
	}), fault: "too-many-requests", at: faults.Client,
}, {
	name: "other host", happens: func(a *app, p *person) string {
		_, port, _ := strings.Cut(strings.TrimPrefix(a.g.addr, "127."), ":")
		text := a.g.caddyfile(people("alice") + siteLines(a.g.t) + "public_url " + a.g.url)
		a.g.load(behindProxy(strings.Replace(text, "http://"+a.g.addr+" {", "http://:"+port+" {", 1)))
		return member(a.call("", 421, "Host", "mcp.internal"), "correlation_id")
	}, fault: "other-host", at: faults.Operator,
}, {
	name: "store", happens: registersThen(func(a *app, p *person) string {
		_ = a.g.state().store.Close()
		return member(a.refreshes(503, "mcprt_x"), "correlation_id")
	}), fault: "store-unavailable", at: faults.Operator,
}}

// siteLines are a server for the pains of sites, with options.
func siteLines(t *testing.T, options ...string) string {
	up := oauthtest.Serve(t, oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 7, "result": oauthtest.Object{}})).URL
	return "insecure_allow_loopback\nserver notion /mcp " + up + "/mcp {\n" + strings.Join(options, "\n") + "\n}\n"
}

// Each pain that comes of a site's configuration, or of what people do at its pages, is
// explained.
func TestWhySites(t *testing.T) {
	t.Setenv("INITIAL_TOKEN", "an-initial-access-token-0123456789")
	g := newGateway(t, people("alice", "bob")+siteLines(t))
	for _, p := range sitePains {
		t.Run(p.fault, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			server := p.server
			if server == "" {
				server = siteLines(outer)
			}
			g.load(behindProxy(g.caddyfile(people("alice", "bob") + server + p.lines)))
			a := g.app(p.name, p.name+"/1")
			shown := p.happens(a, a.user("alice"))
			q := trace.Query{Reference: shown}
			if shown == "" {
				q = trace.Query{Client: p.name + "/1"}
			}
			checkExplained(t, g, q, p.after, p.fault, p.at)
		})
	}
}

func checkExplained(t *testing.T, g *instance, q trace.Query, after time.Duration, fault string, at faults.Party) {
	t.Helper()
	answer := g.explained(q, after)
	if answer.Fault != fault || answer.AtFault != at {
		t.Errorf("got %s, at fault: %s; want %s, %s", answer.Fault, answer.AtFault, fault, at)
	}
	if t.Failed() || testing.Verbose() {
		t.Log(told(answer))
	}
}

// idpPains are those of people at an identity provider.
var idpPains = []struct {
	fault   string
	at      faults.Party
	options string
	happens func(*oauthtest.IdentityProvider)
}{
	{"not-allowed", faults.Operator, "allow group:board", func(*oauthtest.IdentityProvider) {}},
	{"sign-in-declined", faults.Person, "", func(p *oauthtest.IdentityProvider) { p.Sub = "" }},
	{"sign-in-answer-untrusted", faults.Provider, "", func(p *oauthtest.IdentityProvider) {
		p.Claims = func(claims oauthtest.Object) { claims["aud"] = "another" }
	}},
	{"groups-left-out", faults.Provider, "allow group:staff", func(p *oauthtest.IdentityProvider) {
		delete(p.People["jane"], "groups")
		p.Claims = func(claims oauthtest.Object) {
			delete(claims, "groups")
			claims["_claim_names"] = oauthtest.Object{"groups": "src1"}
			claims["_claim_sources"] = oauthtest.Object{"src1": oauthtest.Object{"endpoint": "https://graph.microsoft.com/x"}}
		}
	}},
	{"sign-in-too-weak", faults.Person, "max_age 1h", func(p *oauthtest.IdentityProvider) {
		p.Claims = func(claims oauthtest.Object) { claims["auth_time"] = time.Now().Add(-3 * time.Hour).Unix() }
	}},
	{"sign-in-provider-down", faults.Provider, "", func(p *oauthtest.IdentityProvider) {
		p.Tokens = func(oauthtest.Object) { panic(http.ErrAbortHandler) }
	}},
}

func TestWhyIdentityProviders(t *testing.T) {
	t.Setenv("OIDC_SECRET", "a-secret-of-the-provider")
	for _, p := range idpPains {
		t.Run(p.fault, func(t *testing.T) {
			idp := oauthtest.NewIdentityProvider(t)
			lines := oidcLines(idp, p.options) + siteLines(t)
			g := newGateway(t, lines)
			g.load(behindProxy(g.caddyfile(lines)))
			idp.Change(func() { p.happens(idp) })
			a := g.app("Codex", "codex/1")
			a.registers(201, nil)
			browser := g.browserTo(idp)
			page := browser.Open(t, a.link())
			q := trace.Query{Reference: reference(page)}
			if q.Reference == "" {
				t.Fatalf("no reference on %s: %s", page.URL, page.Text())
			}
			checkExplained(t, g, q, 0, p.fault, p.at)
		})
	}
}

// setUp are the faults that are set up for real.
func setUp() []string {
	tested := map[string]bool{}
	for _, p := range clientPains {
		tested[p.fault] = true
	}
	for _, p := range accountPains {
		tested[p.fault] = true
	}
	for _, p := range sitePains {
		tested[p.fault] = true
	}
	for _, p := range idpPains {
		tested[p.fault] = true
	}
	for _, p := range callPains {
		tested[p.fault] = true
	}
	return slices.Sorted(maps.Keys(tested))
}

// bySign are the faults that cannot be set up here, for they take the internet, a
// certificate or a clock: package faults tests their signs.
var bySign = []string{
	"no-fallback-to-registration", "other-persons-link", "provider-cannot-fetch-document", "provider-certificate", "provider-in-private-network",
	"registers-at-each-start", "answer-too-late", "nobody-signed-in-in-front", "identity-provider-silent", "sign-in-expired",
}

// Every fault of the catalogue is set up for real, but for those.
func TestEveryFaultIsSetUp(t *testing.T) {
	all, n := setUp(), 0
	for _, f := range faults.All {
		switch {
		case slices.Contains(all, f.ID):
			n++
		case !slices.Contains(bySign, f.ID):
			t.Errorf("%s is set up nowhere", f.ID)
		}
	}
	if n+len(bySign) != len(faults.All) {
		t.Errorf("%d faults are set up and %d tested by their sign, of %d", n, len(bySign), len(faults.All))
	}
}
