package caddymodule

import (
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/faults"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

// callPains are calls that operators or people do not allow.
var callPains = []struct {
	fault, options string
	at             faults.Party
	choose         url.Values // what the person lets the client use
}{
	{"denied-by-access-rule", "tools {\nallow other\n}", faults.Operator, nil},
	{"tool-held-back", "pin_tools hold", faults.Operator, nil},
	{"tool-not-chosen", "", faults.Person, url.Values{"tools:notion": {"ticked"}, "others:notion": {"none"}}},
}

// A call that is refused as somebody meant it to be is not the client's fault.
func TestWhyCalls(t *testing.T) {
	for _, p := range callPains {
		t.Run(p.fault, func(t *testing.T) {
			g := newGateway(t, people("alice")+siteLines(t, p.options))
			a := g.app("Codex", "codex/1")
			a.registers(201, nil)
			alice := a.user("alice")
			a.redeems(200, a.approves(alice))
			if p.choose != nil {
				alice.browser.Submit(t, g.read(alice.accountPage()), "/oauth/account/choose", p.choose)
			}
			answer := status(t, a.send("POST", "/mcp", callPurge, "Authorization", "Bearer "+a.access), 200)
			shown := referencePattern.FindString(answer)
			if shown == "" {
				t.Fatalf("no reference in %s", answer)
			}
			checkExplained(t, g, trace.Query{Reference: shown}, 0, p.fault, p.at)
		})
	}
}
