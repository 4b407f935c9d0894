package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// accountPain is something that goes wrong with an account at a service of its own.
type accountPain struct {
	name    string
	options []string // of the server's auth block
	lines   string   // instead of the service's server
	happens func(a *app, p *person, s *service) string
	after   time.Duration
	fault   string
	at      faults.Party
}

// connects presses Connect on the account page, and returns the reference that is
// shown if it fails.
func (p *person) connects() string {
	p.g.t.Helper()
	page := p.browser.Submit(p.g.t, p.g.read(p.accountPage()), "/oauth/account/connect", url.Values{"server": {"notion"}})
	return reference(page)
}

// failsWith has the provider's token endpoint fail.
func failsWith(f oauthtest.Fault) func(*app, *person, *service) string {
	return func(_ *app, p *person, s *service) string { s.provider.Fail(f); return p.connects() }
}

// saysOf changes a member of the provider's metadata.
func saysOf(member string, value any) func(*app, *person, *service) string {
	return func(_ *app, p *person, s *service) string {
		s.provider.Page(oauthtest.ProviderMetadataPath, oauthtest.Document(oauthtest.With(s.provider.Metadata(), member, value)))
		return p.connects()
	}
}

const modernCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + modernMeta + `}}`

// asked makes a call without an account, as a client of the revision 2026-07-28 that
// shows links.
func (a *app) asked() {
	a.g.t.Helper()
	status(a.g.t, a.send("POST", "/mcp", modernCall, "Authorization", "Bearer "+a.access, "Content-Type", "application/json",
		"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"), 200)
}

// elicited makes a call as a client of the revision 2025-11-25 whose person ended their
// account.
func (a *app) elicited(p *person) {
	a.g.t.Helper()
	p.connects()
	res := a.send("POST", "/mcp", opensURLs, "Authorization", "Bearer "+a.access, "Content-Type", "application/json")
	status(a.g.t, res, 200)
	p.disconnect("notion")
	body := status(a.g.t, a.send("POST", "/mcp", toolCall, "Authorization", "Bearer "+a.access, "Content-Type", "application/json",
		"Mcp-Session-Id", res.Header.Get("Mcp-Session-Id"), "Mcp-Protocol-Version", "2025-11-25"), 200)
	if !strings.Contains(body, "-32042") {
		a.g.t.Fatalf("got %s, want an elicitation by URL", body)
	}
}

var accountPains = []accountPain{{
	name: "Entra", happens: failsWith(oauthtest.Refusal(400, "invalid_target")), fault: "provider-takes-no-resource", at: faults.Provider,
}, {
	name: "GitHub", happens: saysOf("registration_endpoint", nil), fault: "provider-without-registration", at: faults.Operator,
}, {
	name: "redirect URI", happens: func(_ *app, p *person, s *service) string {
		s.provider.Page(oauthtest.RegisterPath, oauthtest.Answer(400, "application/json", `{"error":"invalid_redirect_uri"}`))
		return p.connects()
	}, fault: "provider-redirect-uri", at: faults.Operator,
}, {
	name: "forgotten", happens: failsWith(oauthtest.Refusal(401, "invalid_client")), fault: "provider-forgot-registration", at: faults.Provider,
}, {
	name: "wrong secret", options: []string{"client_id site", "client_secret wrong"}, happens: failsWith(oauthtest.Refusal(401, "invalid_client")),
	fault: "provider-client-secret", at: faults.Operator,
}, {
	name: "no PKCE", happens: saysOf("code_challenge_methods_supported", nil), fault: "provider-without-pkce", at: faults.Provider,
}, {
	name: "other issuer", happens: saysOf("issuer", "https://login.example.com"), fault: "provider-other-issuer", at: faults.Provider,
}, {
	name: "other resource", happens: func(_ *app, p *person, s *service) string {
		s.Page(oauthtest.ResourceMetadataPath, oauthtest.Document(oauthtest.With(s.Metadata(), "resource", s.URL+"/other")))
		return p.connects()
	}, fault: "server-other-resource", at: faults.Provider,
}, {
	name: "scopes", happens: failsWith(oauthtest.Refusal(400, "invalid_scope")), fault: "provider-unknown-scope", at: faults.Operator,
}, {
	name: "no tokens", happens: func(_ *app, p *person, s *service) string {
		s.provider.Members = oauthtest.Object{"token_type": "mac"}
		return p.connects()
	}, fault: "provider-sends-no-tokens", at: faults.Provider,
}, {
	name: "token of a person", happens: func(_ *app, p *person, s *service) string {
		s.provider.Members = oauthtest.Object{"token_type": "user"}
		return p.connects()
	}, fault: "provider-user-token", at: faults.Operator,
}, {
	name: "declined", happens: func(_ *app, p *person, s *service) string { s.provider.Declines = true; return p.connects() },
	fault: "declined-at-provider", at: faults.Person,
}, {
	name: "down", happens: failsWith(oauthtest.Down), fault: "provider-unreachable", at: faults.Provider,
}, {
	name: "never back", happens: func(_ *app, p *person, _ *service) string {
		p.browser.Follows = nil
		p.browser.Submit(p.g.t, p.g.read(p.accountPage()), "/oauth/account/connect", url.Values{"server": {"notion"}})
		return ""
	}, after: 10 * time.Minute, fault: "callback-missing", at: faults.Person,
}, {
	name: "lost", happens: func(_ *app, p *person, s *service) string {
		p.connects()
		s.refuse()
		status(p.g.t, p.call(toolCall), 200)
		return ""
	}, fault: "account-lost", at: faults.Provider,
}, {
	name: "denies", happens: func(_ *app, p *person, s *service) string {
		p.connects()
		s.Change(func() { s.Reject = "whoami" })
		status(p.g.t, p.call(toolCall), 200)
		return ""
	}, fault: "server-denies-account", at: faults.Provider,
}, {
	name: "not allowed", happens: func(_ *app, p *person, s *service) string {
		p.connects()
		s.Change(func() { s.Need, s.Unnamed = "write", true })
		status(p.g.t, p.call(toolCall), 200)
		return ""
	}, fault: "account-lacks-permission", at: faults.Person,
}, {
	name: "nobody listens", lines: "server notion /mcp http://127.0.0.1:1/mcp",
	happens: func(_ *app, p *person, _ *service) string {
		return referencePattern.FindString(status(p.g.t, p.call(toolCall), http.StatusBadGateway))
	}, fault: "server-unreachable", at: faults.Operator,
}, {
	name: "Copilot", happens: func(a *app, p *person, _ *service) string { a.completes(p); a.asked(); return "" },
	after: 2 * time.Minute, fault: "cannot-read-input-required", at: faults.Client,
}, {
	name: "Codex", happens: func(a *app, p *person, _ *service) string { a.completes(p); a.elicited(p); return "" },
	after: 2 * time.Minute, fault: "link-not-opened", at: faults.Person,
}, {
	name: "Claude Code", happens: func(a *app, p *person, _ *service) string { a.completes(p); a.elicited(p); p.connects(); return "" },
	after: 2 * time.Minute, fault: "waits-for-retry", at: faults.Client,
}, {
	name: "key", happens: func(_ *app, p *person, _ *service) string { status(p.g.t, p.call(toolCall), 200); return "" },
	after: 2 * time.Minute, fault: "link-cut-off", at: faults.Client,
}, {
	name: "Cursor", happens: func(a *app, p *person, _ *service) string {
		a.completes(p)
		a.call(a.access, 403, "Mcp-Protocol-Version", "2025-11-25")
		return ""
	}, after: 2 * time.Minute, fault: "scope-not-asked", at: faults.Client,
}}

// Each pain with an account, set up at a provider that behaves so, is explained.
func TestWhyAccounts(t *testing.T) {
	g := newGateway(t, people("alice")+"server a /a/mcp http://127.0.0.1:1/mcp")
	for _, p := range accountPains {
		t.Run(p.fault, func(t *testing.T) {
			outer := g.t
			g.t = t
			defer func() { g.t = outer }()
			s := newService(t)
			lines := p.lines
			if lines == "" {
				lines = s.server(append([]string{"optional"}, p.options...)...)
			}
			g.load(behindProxy(g.caddyfile(people("alice") + lines)))
			a := g.app(p.name, p.name+"/1")
			shown := p.happens(a, a.user("alice"), s)
			q := trace.Query{Reference: shown}
			if shown == "" {
				q = trace.Query{Person: "alice"}
			}
			answer := g.explained(q, p.after)
			if answer.Fault != p.fault || answer.AtFault != p.at {
				t.Errorf("got %s, at fault: %s; want %s, %s", answer.Fault, answer.AtFault, p.fault, p.at)
			}
			if t.Failed() || testing.Verbose() {
				t.Log(told(answer))
			}
		})
	}
}
