package faults

import (
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

// unusable are the reasons of a gate for which new tokens help.
var unusable = []string{"token_ended", "token_expired", "token_record_differs", "identity_unproved"}

// tokenFaults are those of clients with codes and tokens.
var tokenFaults = []*Fault{{
	ID: "refresh-token-reused", At: Client,
	What: "{client} sent a refresh token that it had used before, so its access was ended.",
	Why:  "Each refresh token is good for once: a second use is how a stolen one shows. More often two processes of the client share one sign-in, or it lost an answer and tried again too late.",
	Fix:  "Sign in again in the client. If it comes back: let one process at a time use this sign-in, or raise refresh_reuse_grace, within which the same answer is given once more.",
	Link: "https://github.com/anthropics/claude-code/issues/84440",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.reuse_detected", "refresh token", "refresh_token")
		return seen(s).and(c.after(s, "token.refused", "reused"))
	},
}, {
	ID: "code-reused", At: Client,
	What: "{client} redeemed the same authorization code twice, so its access was ended.",
	Why:  "A code is good for once (OAuth 2.1 section 4.1.3). The client repeats its request, or opens its callback twice.",
	Fix:  "Sign in again in the client. If it comes back, report it to its maker.",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.reuse_detected")
		return seen(s).and(c.after(s, "token.refused", "reused"))
	},
}, {
	ID: "refresh-as-another-client", At: Client,
	What: "{client} tried to refresh with a token that was given to another client_id.",
	Why:  "It registered anew and kept the refresh token of its registration before, which belongs to that one (RFC 6749 section 6). mcporter does so at each run.",
	Fix:  "Sign in again in the client. To end it for good, give the client a fixed client_id (client … in the configuration), or another client.",
	Link: "https://github.com/anthropics/claude-code/issues/59460",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.misused", "refresh_token")
		return seen(s).and(c.after(s, "token.refused", "other_client"))
	},
}, {
	ID: "wrong-client-secret", At: Client,
	What: "{client} could not prove which client it is.",
	Why:  "Its secret is wrong, or it authenticates in another way than it registered (“{detail}”).",
	Fix:  "For a client of the configuration, compare client_id, client_secret and auth_method on both sides. Else have the client forget this server, and add it again.",
	Link: "https://github.com/stacklok/toolhive/issues/6278",
	Sign: func(c *Case) *Evidence {
		return seen(c.last("token.refused", "other_auth_method", "wrong_client_secret", "unproved", "malformed_basic", "not_basic", "two_auth_methods"))
	},
}, {
	ID: "assertion-refused", At: Client,
	What: "{client} could not prove which client it is: its signed assertion was not accepted.",
	Why:  "{cause}. ChatGPT and others sign with private_key_jwt; their keys must be reachable, and both clocks right.",
	Fix:  "See that this machine can fetch the keys of the client (jwks_uri in its metadata document), and that its clock is right. Else report it to the maker of the client.",
	Link: "https://github.com/pomerium/pomerium/issues/6692",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.refused")
		return seen(s).when(says(s, "assertion"))
	},
}, {
	ID: "code-verifier-wrong", At: Client,
	What: "{client} could not redeem its code.",
	Why:  "The code was used before, was too old, or came without the secret that belongs to it (code_verifier), or with another redirect URI. Some clients start two sign-ins and mix them up.",
	Fix:  "Sign in again in the client, in one window. If it comes back, report it to its maker.",
	Sign: func(c *Case) *Evidence {
		return seen(c.last("token.refused", "code_refused", "code_ended", "code_expired", "redirect_uri_differs", "wrong_verifier", "malformed_verifier", "not_a_code"))
	},
}, {
	ID: "never-refreshes", At: Client,
	What: "{client} let its token run out and did not refresh it, so {person} has to sign in again and again.",
	Why:  "It got a refresh token and did not use it when the call was refused with 401 invalid_token. Some versions of Claude and Codex lose it, or never try.",
	Fix:  "Update the client. Until it is mended, a longer access_token_lifetime makes it rarer.",
	Link: "https://github.com/anthropics/claude-ai-mcp/issues/228",
	Sign: func(c *Case) *Evidence {
		if e := neverRefreshes(c); e != nil {
			return e
		}
		return signsInInstead(c)
	},
}, {
	ID: "keeps-ended-token", At: Client,
	What: "{client} goes on with a sign-in that was ended, and does not ask {person} to sign in again.",
	Why:  "Each call is answered with 401 and where to sign in. Cline lets its tools vanish, @mastra/mcp stays “authorized”, Claude Code says “lost authentication”.",
	Fix:  "{person} has to sign in again by hand: in Claude Code /mcp, in Cline remove and add the server, elsewhere restart the client. Why it was ended is in the steps.",
	Link: "https://github.com/anthropics/claude-code/issues/65036",
	Sign: func(c *Case) *Evidence {
		ended := firstOf(c.last("grant.ended"), c.last("token.revoked"), c.last("person.ended"))
		if ended == nil {
			return nil
		}
		refused := c.after(ended, "gate.refused")
		return seen(ended, refused).when(c.quiet(refused, patience, "sign_in.started", "token.issued", "client.registered")).but("no new sign-in followed")
	},
}, {
	ID: "token-for-another-server", At: Client,
	What: "{client} sent {server} a token that is for another server, or for somebody who may not use it.",
	Why:  "A token is good for the servers that its person approved. The client uses one sign-in for several servers, or its person may not use this one.",
	Fix:  "Sign in again in the client for this server, and tick it on the page. If the person may not use it, the server's allow option says who may.",
	Sign: func(c *Case) *Evidence { return seen(c.last("gate.refused", "token_not_for_this")) },
}, {
	ID: "key-for-other-servers", At: Operator,
	What: "The virtual key that {client} sends is good for other servers, and not for {server}.",
	Why:  "A virtual key can list the servers that it is good for, and this one of {person} does not have {server}.",
	Fix:  "If it shall be good for it: `caddy mcp-oauth keys change` for one that was made there; for one of the configuration add {id} to its line (virtual_key), and reload.",
	Sign: func(c *Case) *Evidence { return seen(c.last("gate.refused", "key_not_for_this")) },
}, {
	ID: "session-unknown", At: Client,
	What: "{client} goes on with an MCP session at {server} that is not there any more, or that belongs to another sign-in.",
	Why:  "A session ends when the MCP server restarts or removes it, and only the sign-in that began it may use it. After this answer (404) a client has to begin a new one (initialize).",
	Fix:  "Restart the client, or disconnect and reconnect the server there. If it comes back, report it to the client's maker.",
	Sign: func(c *Case) *Evidence {
		s := c.last("call.refused", "no_session")
		return seen(s).when(c.after(s, "call.passed") == nil)
	},
}, {
	ID: "step-up-ignored", At: Client,
	What: "A call of {client} needed a permission that the token does not have, and the client did not ask {person} for it.",
	Why:  "The answer names the scopes that are missing (403 insufficient_scope); the client has to sign in again with them.",
	Fix:  "Sign in again in the client, and leave all permissions ticked. If it is not offered, the client does not ask for more: add the scope to the server's scopes, so that it is asked for at once.",
	Sign: func(c *Case) *Evidence {
		s := firstOf(c.last("gate.refused", "insufficient_scope"), c.last("gate.refused", "step_up"))
		return seen(s).when(c.quiet(s, patience, "sign_in.started")).but("no new sign-in followed")
	},
}, {
	ID: "token-ended", At: Client,
	What: "{client} sent a token that is good no more.",
	Why:  "This site made it; since then it expired, was revoked, its sign-in was ended, or the database was replaced. A client then refreshes it or, if that is refused too, asks its person to sign in.",
	Fix:  "Sign in again in the client. Who ended the sign-in, if somebody did, is in the steps, or else in what `caddy mcp-oauth why --person NAME` tells.",
	Sign: func(c *Case) *Evidence {
		s := c.last("gate.refused", unusable...)
		return seen(s).when(c.after(s, "token.refreshed") == nil && c.after(s, "token.issued") == nil)
	},
}, {
	ID: "refresh-sent-twice", At: Client,
	What: "{client} sent the same refresh token twice within moments. Both got the same answer, so nothing broke.",
	Why:  "Gemini CLI does so; others repeat a request whose answer got lost.",
	Fix:  "Nothing has to be done.",
	Link: "https://github.com/PrefectHQ/fastmcp/issues/4264",
	Sign: func(c *Case) *Evidence { return seen(c.last("token.refreshed", "repeated")) },
}, {
	ID: "code-on-another-machine", At: Person,
	What: "{person} approved in a browser on another machine than the one on which {client} runs, and the answer did not reach it.",
	Why:  "The client waits at an address of its own machine (127.0.0.1 or localhost). A browser elsewhere, as over SSH or in a container, sends the answer to its own machine.",
	Fix:  "Forward the port of the callback (ssh -L PORT:127.0.0.1:PORT machine), paste the address at which the browser failed into the client if it takes that, or give the client a virtual key.",
	Link: "https://github.com/anthropics/claude-code/issues/69205",
	Sign: func(c *Case) *Evidence {
		s := c.last("consent.given")
		started := c.last("sign_in.started")
		return codeNotRedeemed(c, s).when(s != nil && s.Address != "" && c.Agent != "" && s.Address != c.Address && says(started, "own machine"))
	},
}, {
	ID: "code-not-redeemed", At: Client,
	What: "{person} approved, and {client} did not fetch its tokens.",
	Why:  "The browser was sent back to it with a code, and no request followed: the client had stopped waiting or was closed, its port is blocked, or the browser could not open the app.",
	Fix:  "Sign in again, and leave the client open. If the browser shows an error after the approval, something on that machine blocks the address that it shows.",
	Sign: func(c *Case) *Evidence { return codeNotRedeemed(c, c.last("consent.given")) },
}, {
	ID: "token-not-used", At: Client,
	What: "{client} got its tokens, and has not called since.",
	Why:  "The sign-in is complete. The client may wait for its person, or must be restarted to see the server's tools.",
	Fix:  "Restart the client, or use one of the server's tools there. If it asks to sign in again instead, it did not keep the tokens: report it to its maker.",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.issued")
		return seen(s).when(c.quiet(s, personal, "call.passed", "gate.refused", "call.refused", "call.needs_account", "call.failed", "token.refreshed", "server.unreachable", "server.failed")).
			but("no call with the new token came")
	},
}}

func codeNotRedeemed(c *Case, given *trace.Step) *Evidence {
	return seen(given).when(c.quiet(given, patience, "token.issued", "token.refused", "token.reuse_detected", "token.misused")).
		but("no request for tokens followed")
}

// signsInInstead finds a sign-in that follows a token that ran out and was not
// refreshed, in the trace before.
func signsInInstead(c *Case) *Evidence {
	started := c.first("sign_in.started")
	if started == nil || len(c.Earlier) == 0 {
		return nil
	}
	before := &Case{Trace: c.Earlier[0], Now: c.Now}
	e := neverRefreshes(before)
	if e == nil || started.Time.Sub(e.end()) > soon {
		return nil
	}
	return &Evidence{
		Steps: []*trace.Step{started}, Recurs: true,
		Missing: []string{"before that, in flow " + before.ID + ", it did not try to refresh when its token had run out"},
	}
}

// soon is how shortly after another step a sign-in is because of it.
const soon = time.Hour

// neverRefreshes finds a client whose token ran out and that did not refresh it.
func neverRefreshes(c *Case) *Evidence {
	issued := firstOf(c.last("token.refreshed"), c.last("token.issued"))
	refused := c.after(issued, "gate.refused", unusable...)
	ended := slices.ContainsFunc([]string{"grant.ended", "token.revoked", "person.ended", "token.reuse_detected"}, func(kind string) bool { return c.last(kind) != nil })
	if issued != nil && refused != nil && !ended {
		return seen(issued, refused).when(c.quiet(refused, patience, "token.refreshed", "token.refused")).but("it did not try to refresh")
	}
	return nil
}
