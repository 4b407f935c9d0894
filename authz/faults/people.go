package faults

// personFaults are those of people, and of where they sign in.
var personFaults = []*Fault{{
	ID: "refused-by-person", At: Person,
	What: "{person} pressed Deny on the page that asks whether {client} may have access.",
	Fix:  "Sign in again, and approve. If {person} did not begin that sign-in, it was right to refuse.",
	Sign: func(c *Case) *Evidence { return seen(c.last("consent.denied")) },
}, {
	ID: "not-allowed", At: Operator,
	What: "Somebody signed in at {provider} with an account that this site does not let in.",
	Why:  "The allow option of the identity says who may: groups, domains, or people. {cause}",
	Fix:  "If they should be let in, add them to allow, or to the group at the provider. If they have another account, have them use that.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "not_allowed")) },
}, {
	ID: "groups-left-out", At: Provider,
	What: "{provider} did not say in which groups the person is, because there are too many, so nobody can tell whether they may sign in.",
	Why:  "Microsoft Entra ID leaves the groups out beyond 200 (“overage”).",
	Fix:  "At the provider, have only the groups sent that are assigned to the application, or use an application role.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "groups_left_out", "too_many_groups")) },
}, {
	ID: "sign-in-declined", At: Person,
	What: "{provider} says that the person did not agree to sign in, or may not.",
	Fix:  "Try again. If it is not offered there, its administrator has to allow this site.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "declined", "no_choice")) },
}, {
	ID: "sign-in-answer-untrusted", At: Provider,
	What: "What {provider} said about the person could not be relied on, so it was not used.",
	Why:  "{cause}",
	Fix:  "See that the clocks of both sides are right, and that client_id, client_secret and issuer of the identity are those of the provider's console.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "untrusted", "other_provider", "refused")) },
}, {
	ID: "sign-in-too-weak", At: Person,
	What: "{provider} did not make sure who the person is as this site asks for: too long ago, or without a second factor.",
	Fix:  "Sign out at the provider, then sign in again with what it asks for.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "too_old", "too_weak")) },
}, {
	ID: "wrong-key", At: Person,
	What: "Somebody typed a virtual key that is not known here.",
	Why:  "It is mistyped, was withdrawn, or has expired.",
	Fix:  "`caddy mcp-oauth keys` lists who has one; make a new one there, and paste it whole.",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "key")) },
}, {
	ID: "nobody-signed-in-in-front", At: Operator,
	What: "The handler in front of this site, which signs people in, did not say who the person is.",
	Why:  "With identity caddy, another handler authenticates. It is not in front of these pages, or lets them pass without.",
	Fix:  "Put the handler that authenticates in front of the pages of this site too (/oauth/ and /api/oauth/).",
	Sign: func(c *Case) *Evidence { return seen(signInRefused(c, "no_user", "other_user")) },
}, {
	ID: "other-browser", At: Person,
	What: "The page was opened in another browser than the one in which it began, or for a second time, so it was refused.",
	Why:  "A sign-in, or the connecting of an account, is bound to one browser: else somebody could send you theirs to finish. Private windows count as another browser, and so does one that blocks cookies.",
	Fix:  "Begin again in the client (or, for an account, on the page with Connect), and finish in the same window. Cookies of this site must be allowed.",
	Link: "https://github.com/cloudflare/ai/issues/51",
	Sign: func(c *Case) *Evidence { return seen(pageRefused(c, "other_browser")) },
}, {
	ID: "form-from-elsewhere", At: Person,
	What: "Something was sent to a page of this site that did not come from the page as it was open, so it was refused.",
	Why:  "The page was open in several tabs, or for long, or its form was sent incomplete; or another web page tried to press a button in the person's name, which must not work.",
	Fix:  "Begin again in the client, in one window. If it happens to everybody, a proxy in front changes the header Origin or cookies: have it pass them on.",
	Sign: func(c *Case) *Evidence { return seen(pageRefused(c, "forged", "bad_form")) },
}, {
	ID: "sign-in-expired", At: Person,
	What: "The sign-in took longer than it may, so it has ended.",
	Why:  "There are 15 minutes from the client's request to the approval, unless flow_lifetime says otherwise.",
	Fix:  "Begin again in the client.",
	Sign: func(c *Case) *Evidence { return seen(pageRefused(c, "expired", "flow_expired", "login_ended")) },
}, {
	ID: "answered-twice", At: Person,
	What: "The page was answered twice; the first answer counts.",
	Fix:  "If the client is not signed in, begin again there.",
	Sign: func(c *Case) *Evidence { return seen(pageRefused(c, "submitted", "answered_before")) },
}, {
	ID: "sign-in-provider-down", At: Provider,
	What: "Nobody can sign in at {provider}: it does not answer as it should.",
	Why:  "{cause}",
	Fix:  "See whether this machine reaches it, and whether issuer in the configuration is right. It is tried again and again.",
	Sign: func(c *Case) *Evidence { return seen(c.last("sign_in.failed")) },
}, {
	ID: "sign-in-not-finished", At: Person,
	What: "A browser opened the sign-in page of {client}, and nobody signed in.",
	Why:  "The window was closed, was on a screen that nobody sees, or the person did not know what to do.",
	Fix:  "Begin again in the client. If nobody saw a window: the client opened it on another machine or profile; copy the address that it prints into your browser.",
	Sign: func(c *Case) *Evidence {
		s := c.last("sign_in.started")
		return seen(s).when(c.quiet(s, personal, "sign_in.succeeded", "sign_in.refused", "sign_in.failed", "consent.given", "consent.denied")).but("nobody signed in")
	},
}, {
	ID: "approval-not-finished", At: Person,
	What: "{person} signed in, and neither approved nor refused.",
	Why:  "The page that asks what {client} may do was left. Perhaps a server that has to be connected first could not be.",
	Fix:  "Begin again in the client, and press “Allow and finish” at the end.",
	Sign: func(c *Case) *Evidence {
		s := c.last("sign_in.succeeded")
		if c.first("sign_in.started") == nil {
			return nil // at the account page
		}
		return seen(s).when(c.quiet(s, personal, "consent.given", "consent.denied")).but("nobody approved")
	},
}, {
	ID: "tool-not-chosen", At: Person,
	What: "{client} called a tool of {server} that {person} does not let it use.",
	Why:  "Whoever lets an application in can leave tools out, and that holds for all its calls.",
	Fix:  "If it should use the tool, {person} changes that on their account page, under the application.",
	Sign: func(c *Case) *Evidence { return seen(c.last("call.refused", "not_chosen")) },
}, {
	ID: "taken-back", At: Person,
	What: "{person} took back what they had approved for {client}.",
	Fix:  "Sign in again in the client, if that was not meant.",
	Sign: func(c *Case) *Evidence { return seen(c.last("grant.ended", "taken_back")) },
}, {
	ID: "ended-by-operator", At: Operator,
	What: "What {person} had approved for {client} was ended by an operator, or by a change of the configuration.",
	Why:  "A person, a key or a server was withdrawn, or somebody ended it with `caddy mcp-oauth`.",
	Fix:  "If {person} may still use it, they sign in again in the client.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("grant.ended", "withdrawn", "identity_withdrawn", "servers_withdrawn", "operator"), c.last("person.ended")))
	},
}}
