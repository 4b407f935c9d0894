package faults

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

// siteFaults are those of the configuration of the site, and of what is around it.
var siteFaults = []*Fault{{
	ID: "web-page-not-allowed", At: Operator,
	What: "A web page called {server} and was refused: its origin {origin} is not on the list.",
	Why:  "A page that is open in somebody's browser could else use what that browser reaches (DNS rebinding).",
	Fix:  "If you know that page, add its origin to allowed_origins of the site: allowed_origins {origin}",
	Link: "https://github.com/twentyhq/twenty/issues/19836",
	Sign: func(c *Case) *Evidence { return seen(c.last("gate.refused", "origin")) },
}, {
	ID: "other-host", At: Operator,
	What: "A request came for another host name than that of the site, and was refused.",
	Why:  "The site is {site}. The client has another URL, or a proxy in front sends another Host.",
	Fix:  "Give the client the URL with this host. If the host that people type is right, set public_url to it; a proxy in front has to pass Host on.",
	Link: "https://github.com/github/copilot-cli/issues/4439",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("request.refused", "misdirected_request"), c.last("request.refused", "other_host")))
	},
}, {
	ID: "denied-by-access-rule", At: Operator,
	What: "{client} called something at {server} that the access rules do not allow {person}.",
	Why:  "{cause}",
	Fix:  "`caddy mcp-oauth may {whom} {id}` tells what they may use there, and which rule decides. If they should be allowed, change the rule; if not, the refusal is right, and the client has an old list.",
	Sign: func(c *Case) *Evidence { return seen(c.last("call.refused", "access_rule")) },
}, {
	ID: "tool-held-back", At: Operator,
	What: "{client} called a tool of {server} that is held back: it is new, or differs from what was approved.",
	Why:  "That is what pin_tools hold is for: a server may turn a tool that people trust into another one.",
	Fix:  "See what changed with `caddy mcp-oauth tools list {id}`, then approve it with `caddy mcp-oauth tools approve {id} --all`, or with names of tools instead of --all. With approvers person, {person} does that on their account page.",
	Sign: func(c *Case) *Evidence { return seen(c.last("call.refused", "tool_not_approved")) },
}, {
	ID: "store-unavailable", At: Operator,
	What: "The database could not do its work, so nothing was let through (503).",
	Why:  "{cause}",
	Fix:  "See whether there is room on the disk, or whether the database runs. `caddy mcp-oauth health` tells whether it can be read and written by now; the log says since when it fails. Nothing has to be done in clients: they try again.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("request.failed"), c.last("page.failed"), c.last("call.failed", "unavailable"), c.last("site.unavailable")))
	},
}, {
	ID: "too-many-requests", At: Client,
	What: "There were too many wrong or new requests from the address {address}, and one was refused (429).",
	Why:  "That is how somebody who guesses is slowed down. A client in a loop, or many people behind one address, look the same.",
	Fix:  "Wait a minute. If many people share the address, see that trusted_proxies is set, so that each has their own, or raise rate_limit.",
	Sign: func(c *Case) *Evidence {
		for i := range c.Steps {
			if s := &c.Steps[i]; s.Status == 429 || strings.HasPrefix(s.Reason, "too_many_") {
				return seen(s)
			}
		}
		return nil
	},
}, {
	ID: "identity-provider-silent", At: Provider,
	What: "Nobody can tell whether {person} may still sign in: their identity provider does not answer, for too long.",
	Why:  "A person who was removed there must not go on here, so calls are refused until it answers.",
	Fix:  "See whether this machine reaches the identity provider. The calls pass again as soon as it does.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("gate.refused", "provider_silent"), c.last("token.refused", "provider_silent")))
	},
}}

// signInRefused returns the step at which a sign-in was refused for one of the reasons.
// Those of identity providers begin with the name of the provider.
func signInRefused(c *Case, reasons ...string) *trace.Step {
	for i := range c.Steps {
		s := &c.Steps[len(c.Steps)-1-i]
		if s.Kind != "sign_in.refused" && s.Kind != "sign_in.failed" {
			continue
		}
		for _, reason := range reasons {
			if s.Reason == reason || strings.HasSuffix(s.Reason, "_"+reason) {
				return s
			}
		}
	}
	return nil
}

// pageRefused returns the step at which a page was refused for one of the reasons.
func pageRefused(c *Case, reasons ...string) *trace.Step {
	for _, kind := range []string{"page.refused", "sign_in.refused"} {
		if s := c.last(kind, reasons...); s != nil {
			return s
		}
	}
	return nil
}

// works1 is what there is to say where all is well.
var works1 = Fault{
	ID: "works", At: Nobody,
	What: "{client} is signed in as {person}, and its calls pass.",
	Why:  "A call passes when it is sent on to the MCP server. What that answers is not judged here.",
	Fix:  "Nothing has to be done here. If the client shows an error all the same, it is the MCP server's: look at its log.",
}

// generalFaults say what a failure means by itself. The last one always holds.
var generalFaults = []*Fault{{
	ID: "failed", At: Us,
	What: "Something failed here: {event}.",
	Why:  "What is known of it: {detail}; {cause}.",
	Fix:  "If the log does not tell more, report it with the steps below.",
	Sign: func(c *Case) *Evidence {
		return seen(lastWith(c, func(s *trace.Step) bool { return s.Outcome == "failed" }))
	},
}, {
	ID: "refused", At: Client,
	What: "{client} was refused: {refusal}.",
	Why:  "What the log says besides ({event}): {cause}.",
	Fix:  "What was refused is not right as it was sent. Try again from the beginning; if it comes back, report the steps below to the maker of the client.",
	Sign: func(c *Case) *Evidence { return seen(lastWith(c, (*trace.Step).IsFailure)) },
}, {
	ID: "told-to-sign-in", At: Nobody,
	What: "{client} called {server} without a token, and was told to sign in.",
	Why:  "That is how every sign-in begins, and no fault.",
	Fix:  "If no browser opened, ask again in a minute: then what did not happen counts too. Many clients wait for a click (Claude Code: /mcp; Codex: codex mcp login).",
	Sign: func(c *Case) *Evidence {
		s := c.last("gate.refused", trace.NoToken)
		for _, kind := range began {
			if c.after(s, kind) != nil {
				return nil
			}
		}
		return seen(s)
	},
}, {
	ID: "under-way", At: Nobody,
	What: "{client} is on its way; nothing has failed so far.",
	Fix:  "If somebody waits, ask again in a minute: then what did not happen counts too.",
	Sign: func(c *Case) *Evidence { return new(Evidence) },
}}

// lastWith returns the last step with a property, or nil.
func lastWith(c *Case, has func(*trace.Step) bool) *trace.Step {
	for i := range c.Steps {
		if s := &c.Steps[len(c.Steps)-1-i]; has(s) {
			return s
		}
	}
	return nil
}
