package faults

import "github.com/mcpoauth/caddy-mcp-oauth/authz/trace"

// What follows once a person did something about a missing account.
var connecting = []string{"connect_link.opened", "connect_link.used", "connection.started", "connection.connected", "connection.failed", "connection.refused"}

// connectFaults are those on the way from a call that needs an account to the
// account.
var connectFaults = []*Fault{{
	ID: "cannot-read-input-required", At: Client,
	What: "{client} was asked to show {person} a link to connect an account for {server}, in a way that it says it knows and does not.",
	Why:  "It declares URL elicitation for the revision 2026-07-28 and cannot read the answer input_required. GitHub Copilot CLI does so.",
	Fix:  "{person} can connect the account at {site}/oauth/account, then try again. Update the client when its maker has mended it.",
	Link: "https://github.com/github/copilot-cli/issues/4834",
	Sign: func(c *Case) *Evidence {
		return linkUnopened(c, "asked_by_input_required").when(c.isClient("copilot"))
	},
}, {
	ID: "waits-for-retry", At: Client,
	What: "{person} connected an account for {server}, and {client} still waits.",
	Why:  "After the error -32042, Claude Code waits until its person presses a button, or until a notification reaches it on an open stream.",
	Fix:  "In Claude Code press “Retry now”; elsewhere send the request again. The account is connected.",
	Link: "https://github.com/anthropics/claude-code/issues/48164",
	Sign: func(c *Case) *Evidence {
		asked := c.last("call.needs_account", "asked_by_elicitation", "asked_by_input_required")
		connected := firstOf(c.after(asked, "connect_link.used"), c.after(asked, "connection.connected"))
		if asked == nil {
			return nil
		}
		return seen(asked, connected).when(c.quiet(connected, patience, "call.passed", "call.needs_account", "call.failed")).but("no call came since")
	},
}, {
	ID: "link-cut-off", At: Client,
	What: "{client} was given a link in words, on which {person} connects an account for {server}, and nobody opened it.",
	Why:  "Claude Code shows no more than the first 300 characters of an error; in other clients the model may not pass the link on.",
	Fix:  "{person} can connect the account at {site}/oauth/account, then try again.",
	Sign: func(c *Case) *Evidence { return linkUnopened(c, "asked_in_words") },
}, {
	ID: "link-not-opened", At: Person,
	What: "{client} was given a link on which {person} connects an account for {server}, and nobody opened it.",
	Why:  "The client may have shown it and nobody clicked, or it does not show links to people who run it without a screen.",
	Fix:  "Open the link that the client shows or, in a browser, {site}/oauth/account, and press Connect at the server. Then try again.",
	Link: "https://github.com/Kuadrant/mcp-gateway/issues/775",
	Sign: func(c *Case) *Evidence {
		return linkUnopened(c, "asked_by_elicitation", "asked_by_input_required", "account_missing")
	},
}, {
	ID: "scope-not-asked", At: Client,
	What: "{client} was told that {person} has to connect an account for {server}, and did not open the sign-in page for that.",
	Why:  "It understands neither links nor the request for a scope (403 insufficient_scope), so in the end it is told to sign in again.",
	Fix:  "{person} can connect the account at {site}/oauth/account, then try again.",
	Sign: func(c *Case) *Evidence {
		s := c.last("call.needs_account", "asked_by_scope", "asked_by_sign_in")
		return seen(s).when(c.quiet(s, patience, append(connecting, "sign_in.started")...)).but("no sign-in page was opened")
	},
}, {
	ID: "other-persons-link", At: Person,
	What: "Somebody else than {person} opened the link, or with another sign-in, so nothing was connected.",
	Why:  "A link works only for the person whose client got it. Else somebody could have you connect your account to their client.",
	Fix:  "Open the link as the same person that the client is signed in as; sign out at {site}/oauth/account first if the browser knows somebody else.",
	Sign: func(c *Case) *Evidence {
		refused := pageRefused(c, "other_person")
		return seen(refused).when(c.after(refused, "connection.connected") == nil)
	},
}, {
	ID: "callback-missing", At: Person,
	What: "{person} was sent to {provider} to connect an account for {server}, and did not come back.",
	Why:  "Most often they closed the page there, or could not sign in. If it happens to everybody, the answer of the provider does not reach this site: another handler in front answers the path of the callback.",
	Fix:  "Try again. If the provider shows that it does not know the client, have this site register anew: `caddy mcp-oauth providers forget {id}`. If it happens to everybody, open {site}/api/oauth/callback: if that is not a page of this site, let no other handler have this path.",
	Link: "https://github.com/maximhq/bifrost/issues/6114",
	Sign: func(c *Case) *Evidence {
		s := c.last("connection.started")
		return seen(s).when(c.quiet(s, personal, "connection.connected", "connection.failed", "connection.refused", "page.refused", "page.failed")).
			but("no answer of the provider came")
	},
}}

// linkUnopened finds a link that nobody opened, and no account that was connected in
// another way.
func linkUnopened(c *Case, how ...string) *Evidence {
	s := c.last("call.needs_account", how...)
	return seen(s).when(c.quiet(s, patience, append(connecting, "call.passed")...)).but("the link was not opened")
}

// accountFailure returns the step at which an account could not be connected or used,
// if it says one of the words.
func accountFailure(c *Case, words ...string) *trace.Step {
	for _, kind := range []string{"connection.failed", "connection.refused", "connection.lost"} {
		if s := c.last(kind); says(s, words...) {
			return s
		}
	}
	return nil
}
