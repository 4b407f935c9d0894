package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// pain is something that goes wrong, and what is to be said about it.
type pain struct {
	name, agent string
	// happens sets it up. It may return the reference that somebody was shown.
	happens func(a *app) string
	after   time.Duration // it is asked so much later
	fault   string
	at      faults.Party
}

// clientPains are those of clients until they have tokens, and with them.
var clientPains = []pain{{
	name: "Curl", agent: "curl/8.5",
	happens: func(a *app) string { a.call("", 401); a.call("", 401); return "" },
	after:   2 * time.Minute, fault: "does-not-sign-in", at: faults.Client,
}, {
	name: "Grok Build", agent: "grok-build/1.2",
	happens: func(a *app) string {
		a.call("", 401)
		status(a.g.t, a.send("GET", "/.well-known/oauth-protected-resource/mcp", ""), 200)
		return ""
	},
	after: 2 * time.Minute, fault: "resource-differs", at: faults.Client,
}, {
	name: "Mastra", agent: "node",
	happens: func(a *app) string { a.call("", 401); a.discovers(); return "" },
	after:   2 * time.Minute, fault: "stopped-after-metadata", at: faults.Client,
}, {
	name: "Gemini CLI MCP Client", agent: "gemini-cli/0.61.0",
	happens: func(a *app) string {
		a.call("", 401)
		a.discovers()
		return member(a.registers(400, oauthtest.Object{"redirect_uris": []string{}}), "correlation_id")
	},
	fault: "registration-without-redirect-uri", at: faults.Client,
}, {
	name: "An editor", agent: "editor/1",
	happens: func(a *app) string {
		return member(a.registers(400, oauthtest.Object{"redirect_uris": []string{"myeditor://callback"}}), "correlation_id")
	},
	fault: "registration-with-unknown-scheme", at: faults.Operator,
}, {
	name: "A web page without TLS", agent: "python-httpx/0.26",
	happens: func(a *app) string {
		return member(a.registers(400, oauthtest.Object{"redirect_uris": []string{"http://app.example/callback", "javascript:alert(1)"}}), "correlation_id")
	},
	fault: "registration-with-unsafe-redirect-uri", at: faults.Client,
}, {
	name: "A web application", agent: "python-httpx/0.27",
	happens: func(a *app) string {
		return member(a.registers(400, oauthtest.Object{"application_type": "web"}), "correlation_id")
	},
	fault: "registration-without-https", at: faults.Client,
}, {
	name: "Broken", agent: "broken/1",
	happens: func(a *app) string {
		return member(a.registers(400, oauthtest.Object{"grant_types": []string{"password"}}), "correlation_id")
	},
	fault: "registration-refused", at: faults.Client,
}, {
	name: "Claude", agent: "claude-code/2.1.332 (cli)",
	happens: func(a *app) string {
		a.call("", 401)
		a.id = "0b3d8f1e-5a3c-4c7e-9c53-0f4f4b8f9a52"
		return reference(a.opens(a.user("alice")))
	},
	fault: "forgotten-registration", at: faults.Client,
}, {
	name: "Claude Code", agent: "claude-code/2.1.140",
	happens: func(a *app) string {
		a.registers(201, nil)
		a.redirect = "http://localhost:7777/cb" // it registered 127.0.0.1
		return reference(a.opens(a.user("alice")))
	},
	fault: "redirect-uri-changed", at: faults.Client,
}, {
	name: "Old", agent: "old/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		return reference(a.opens(a.user("alice"), "code_challenge", "", "code_challenge_method", ""))
	},
	fault: "no-pkce", at: faults.Client,
}, {
	name: "Gemini CLI", agent: "gemini-cli/0.50",
	happens: func(a *app) string {
		a.registers(201, nil)
		return reference(a.opens(a.user("alice"), "resource", a.g.url+"/other"))
	},
	fault: "unknown-resource", at: faults.Client,
}, {
	name: "Scoped", agent: "scoped/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		return reference(a.opens(a.user("alice"), "scope", `all "of" it`))
	},
	fault: "wrong-scope", at: faults.Client,
}, {
	name: "Placeholder", agent: "placeholder/1",
	happens: func(a *app) string {
		return member(a.call("", 400, "Authorization", "Bearer ${TOKEN} now"), "correlation_id")
	},
	fault: "malformed-authorization", at: faults.Client,
}, {
	name: "Placeholder", agent: "placeholder/2",
	happens: func(a *app) string { return member(a.call("${TOKEN}", 401), "correlation_id") },
	fault:   "foreign-token", at: faults.Person,
}, {
	name: "Headless", agent: "codex_cli/0.171",
	happens: func(a *app) string {
		a.call("", 401)
		a.discovers()
		a.registers(201, nil)
		p := a.user("alice")
		p.address = "203.0.113.99"
		a.approves(p)
		return ""
	},
	after: 2 * time.Minute, fault: "code-on-another-machine", at: faults.Person,
}, {
	name: "Closed", agent: "closed/1",
	happens: func(a *app) string {
		a.call("", 401)
		a.registers(201, nil)
		a.approves(a.user("alice"))
		return ""
	},
	after: 2 * time.Minute, fault: "code-not-redeemed", at: faults.Client,
}, {
	name: "Forgetful", agent: "forgetful/1",
	happens: func(a *app) string { a.completes(a.user("alice")); return "" },
	after:   10 * time.Minute, fault: "token-not-used", at: faults.Client,
}, {
	name: "Fine", agent: "fine/1",
	happens: func(a *app) string { a.completes(a.user("alice")); a.call(a.access, 200); return "" },
	after:   10 * time.Minute, fault: "works", at: faults.Nobody,
}, {
	name: "Mixed up", agent: "mixed-up/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		code := a.approves(a.user("alice"))
		return member(a.token(400, "grant_type", "authorization_code", "code", code, "code_verifier", "another-verifier-of-at-least-forty-three-characters", "redirect_uri", a.redirect), "correlation_id")
	},
	fault: "code-verifier-wrong", at: faults.Client,
}, {
	name: "Twice", agent: "twice/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		code := a.approves(a.user("alice"))
		a.redeems(200, code)
		return member(a.redeems(400, code), "correlation_id")
	},
	fault: "code-reused", at: faults.Client,
}, {
	name: "Claude Code in two terminals", agent: "claude-code/2.1.223",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		a.call(a.access, 200)
		first := a.refreh
		a.refreshes(200, first)
		a.refreshes(200, a.refreh)
		return member(a.refreshes(400, first), "correlation_id")
	},
	fault: "refresh-token-reused", at: faults.Client,
}, {
	name: "Gemini twice", agent: "gemini-cli/0.61.1",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		first := a.refreh
		a.refreshes(200, first)
		a.refreshes(200, first)
		return ""
	},
	fault: "refresh-sent-twice", at: faults.Client,
}, {
	name: "mcporter", agent: "node-fetch",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		token := a.refreh
		a.registers(201, nil)
		return member(a.refreshes(400, token), "correlation_id")
	},
	fault: "refresh-as-another-client", at: faults.Client,
}, {
	name: "One sign-in for all", agent: "one-sign-in/1",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		return member(a.token(400, "grant_type", "refresh_token", "refresh_token", a.refreh, "resource", a.g.url+"/wiki/mcp"), "correlation_id")
	},
	fault: "resource-not-approved", at: faults.Client,
}, {
	name: "Restarted", agent: "restarted/1",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		return referencePattern.FindString(a.call(a.access, 404, "Mcp-Session-Id", "one.that-is-not-there"))
	},
	fault: "session-unknown", at: faults.Client,
}, {
	name: "Confidential", agent: "confidential/1",
	happens: func(a *app) string {
		a.registers(201, oauthtest.Object{"token_endpoint_auth_method": "client_secret_post"})
		code := a.approves(a.user("alice"))
		return member(a.token(401, "grant_type", "authorization_code", "code", code, "client_secret", "wrong"), "correlation_id")
	},
	fault: "wrong-client-secret", at: faults.Client,
}, {
	name: "ChatGPT", agent: "openai-mcp/1.0",
	happens: func(a *app) string {
		a.registers(201, oauthtest.Object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://127.0.0.1:1/jwks.json"})
		code := a.approves(a.user("alice"))
		return member(a.token(401, "grant_type", "authorization_code", "code", code, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), "correlation_id")
	},
	fault: "assertion-refused", at: faults.Client,
}, {
	name: "Cline", agent: "cline/3.0.65",
	happens: func(a *app) string {
		p := a.user("alice")
		a.completes(p)
		a.call(a.access, 200)
		grants, err := a.g.state().store.GrantsOf(a.g.t.Context(), a.g.url, "virtual_key:alice", time.Now())
		if err != nil || len(grants) == 0 {
			a.g.t.Fatalf("%d grants, %v", len(grants), err)
		}
		p.post("/oauth/account/revoke", p.accountPage(), "grant", grants[len(grants)-1].ID)
		a.call(a.access, 401)
		return ""
	},
	after: 2 * time.Minute, fault: "keeps-ended-token", at: faults.Client,
}, {
	name: "Claude that does not refresh", agent: "Claude-User/1.0",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		a.call(a.access, 200)
		a.expires()
		a.call(a.access, 401)
		return ""
	},
	after: 2 * time.Minute, fault: "never-refreshes", at: faults.Client,
}, {
	name: "One token for all", agent: "one-for-all/1",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		return member(status(a.g.t, a.send("POST", "/wiki/mcp", toolCall, "Authorization", "Bearer "+a.access, "Content-Type", "application/json"), 401), "correlation_id")
	},
	fault: "token-for-another-server", at: faults.Client,
}, {
	name: "A key for one", agent: "a-key-for-one/1",
	happens: func(a *app) string {
		return member(status(a.g.t, a.send("POST", "/wiki/mcp", toolCall, "Authorization", "Bearer "+keyOf("carol"), "Content-Type", "application/json"), 401), "correlation_id")
	},
	fault: "key-for-other-servers", at: faults.Operator,
}, {
	name: "Not yet refreshed", agent: "not-yet-refreshed/1",
	happens: func(a *app) string {
		a.completes(a.user("alice"))
		a.expires()
		return member(a.call(a.access, 401), "correlation_id")
	},
	fault: "token-ended", at: faults.Client,
}, {
	name: "Two tabs", agent: "two-tabs/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		p := a.user("alice")
		return reference(p.browser.Submit(a.g.t, a.signsIn(p), "/api/oauth/per-user/consent/submit", url.Values{"csrf_token": {"of another page"}, "decision": {"approve"}}))
	},
	fault: "form-from-elsewhere", at: faults.Person,
}, {
	name: "Inspector", agent: "Mozilla/5.0 Chrome/140",
	happens: func(a *app) string {
		return referencePattern.FindString(a.call("", http.StatusForbidden, "Origin", "https://inspector.example"))
	},
	fault: "web-page-not-allowed", at: faults.Operator,
}, {
	name: "Refused", agent: "refused/1",
	happens: func(a *app) string {
		a.registers(201, nil)
		p := a.user("alice")
		p.browser.Submit(a.g.t, a.signsIn(p), "/api/oauth/per-user/consent/submit", url.Values{"decision": {"deny"}})
		return ""
	},
	fault: "refused-by-person", at: faults.Person,
}, {
	name: "Left alone", agent: "left-alone/1",
	happens: func(a *app) string { a.registers(201, nil); a.opens(a.user("alice")); return "" },
	after:   10 * time.Minute, fault: "sign-in-not-finished", at: faults.Person,
}, {
	name: "Half way", agent: "half-way/1",
	happens: func(a *app) string { a.registers(201, nil); a.signsIn(a.user("alice")); return "" },
	after:   10 * time.Minute, fault: "approval-not-finished", at: faults.Person,
}}

// Each pain of a client, set up as that client really does, is explained: who is at
// fault, and which known fault it is.
func TestWhyClients(t *testing.T) {
	s := oauthtest.Serve(t, oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 7, "result": oauthtest.Object{}})).URL + "/mcp"
	lines := people("alice") + fmt.Sprintf("virtual_key carol sha256:%x notion\n", storage.HashOf(keyOf("carol"))) + "server notion /mcp " + s + " {\nscopes notes\n}\nserver wiki /wiki/mcp " + s + "\n"
	g := newGateway(t, lines)
	g.load(behindProxy(g.caddyfile(lines)))
	checkPains(t, g, clientPains)
}

func checkPains(t *testing.T, g *instance, pains []pain) {
	for _, p := range pains {
		t.Run(p.fault+" "+p.name, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			a := g.app(p.name, p.agent)
			shown := p.happens(a)
			q := trace.Query{Reference: shown}
			if shown == "" {
				q = trace.Query{Client: p.agent}
			}
			answer := g.explained(q, p.after)
			if answer.Fault != p.fault || answer.AtFault != p.at {
				t.Errorf("got %s, at fault: %s; want %s, %s", answer.Fault, answer.AtFault, p.fault, p.at)
			}
			if testing.Verbose() {
				t.Log(told(answer))
			}
		})
	}
}
