package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
)

const (
	day = 24 * time.Hour
	// often is how many registrations of one program show that it forgets them.
	often = 4
)

// clientFaults are those of clients until a person is asked: how they find out
// where to sign in, and register.
var clientFaults = []*Fault{{
	ID: "registration-without-redirect-uri", At: Client,
	What: "{client} tried to register without a redirect URI, and was refused.",
	Why:  "A registration has to say where the browser is sent after the sign-in (RFC 7591 section 2). Gemini CLI sends an empty list when its sign-in ends within a session.",
	Fix:  "End the session in the client and sign in anew: in Gemini CLI, restart it and use /mcp auth. If it happens at the first sign-in, report it to the maker of the client.",
	Link: "https://www.rfc-editor.org/rfc/rfc7591#section-2",
	Sign: func(c *Case) *Evidence {
		s := c.last("client.registration_refused", "invalid_redirect_uri")
		return seen(s).when(says(s, "1 to 10 usable"))
	},
}, {
	ID: "registration-with-unknown-scheme", At: Operator,
	What: "{client} was refused when it registered: its redirect URI begins with a scheme that is not allowed here.",
	Why:  "An app that is opened by a link of its own (such as myapp://) could be any app that claims this link, so only those of known editors are allowed.",
	Fix:  "If you trust the client, add its scheme to redirect_schemes in the registration block of the site.",
	Sign: func(c *Case) *Evidence {
		return seen(c.last("client.registration_refused", "redirect_scheme"))
	},
}, {
	ID: "registration-with-unsafe-redirect-uri", At: Client,
	What: "{client} was refused when it registered: it wants the code to be sent to an address that is not safe.",
	Why:  "A code goes to https, to http on the person's own machine (127.0.0.1 or localhost), or to an app; never to http elsewhere, to javascript: and the like, or to an address with a wildcard, fragment or password.",
	Fix:  "Have the client use https, or http://127.0.0.1 if it runs on the person's own machine. No option allows the others.",
	Sign: func(c *Case) *Evidence {
		s := c.last("client.registration_refused", "invalid_redirect_uri")
		return seen(s).when(says(s, "of an allowed"))
	},
}, {
	ID: "registration-without-https", At: Client,
	What: "{client} was refused when it registered: it is a web application whose redirect URI is not https.",
	Why:  "The code that stands for the person would travel in the clear.",
	Fix:  "Have the client use https, or http://127.0.0.1 if it runs on the person's own machine.",
	Sign: func(c *Case) *Evidence {
		s := c.last("client.registration_refused", "invalid_redirect_uri")
		return seen(s).when(says(s, "must be https"))
	},
}, {
	ID: "registration-needs-token", At: Operator,
	What: "{client} was refused when it registered: this site wants a token for that, and it sent none, or a wrong one.",
	Why:  "The configuration has a token for registrations, which almost no client can send.",
	Fix:  "Give the client that token if it can send one. Else add the client to the configuration (client …), or remove initial_access_token from the registration block.",
	Sign: func(c *Case) *Evidence { return seen(c.last("client.registration_refused", "invalid_token")) },
}, {
	ID: "registers-each-time", At: Client,
	What: "{client} registers anew each time it starts, and was refused because there were too many registrations from its address.",
	Why:  "A client should register once and remember it. mcporter registers at each run.",
	Fix:  "Wait a minute. If many people are behind one address, raise rate_limit in the registration block; better, add the client to the configuration (client …).",
	Link: "https://github.com/anthropics/claude-code/issues/59460",
	Sign: func(c *Case) *Evidence { return seen(c.last("client.registration_refused", "too_many_registrations")) },
}, {
	ID: "registers-at-each-start", At: Client,
	What: "{client} registers anew each time it starts, so {person} has to sign in each time.",
	Why:  "A client should register once and remember it. mcporter and others forget, or lose what they wrote.",
	Fix:  "Update the client. If it cannot remember, add it to the configuration (client …) and give it that client_id.",
	Link: "https://github.com/anthropics/claude-code/issues/59460",
	Sign: func(c *Case) *Evidence {
		registered, clients := c.first("client.registered"), map[string]bool{c.Client: true}
		for _, t := range c.Earlier {
			// Who never got in tries anew; that is no client that forgets.
			signedIn := slices.ContainsFunc(t.Steps, func(s trace.Step) bool { return is(&s, "token.issued") || is(&s, "call.passed") })
			same := t.Agent == c.Agent && t.ClientName == c.ClientName && t.Address == c.Address && t.Person == c.Person
			if signedIn && same && sameServer(t, c.Trace) && t.Client != "" && c.Began.Sub(t.Began) < day {
				clients[t.Client] = true
			}
		}
		e := seen(registered).when(len(clients) >= often && c.Agent != "")
		if e != nil {
			e.Recurs = true
			return e.but(fmt.Sprintf("it used none of the %d registrations that it made within a day", len(clients)-1))
		}
		return nil
	},
}, {
	ID: "registration-refused", At: Client,
	What: "{client} was refused when it registered: {detail}.",
	Why:  "What it sent is not what RFC 7591 asks for.",
	Fix:  "Report the sentence above to the maker of the client. Until it is mended, add the client to the configuration (client …).",
	Sign: func(c *Case) *Evidence { return seen(c.last("client.registration_refused")) },
}, {
	ID: "no-fallback-to-registration", At: Operator,
	What: "This site could not fetch the metadata document that says who {client} is, and the client did not register instead.",
	Why:  "This site has no way to the internet, or the client's host did not answer: {cause}. Claude and Codex do not fall back to a registration once they read that documents are taken here.",
	Fix:  "Let this machine reach the internet by https. In a closed network set metadata_documents off in the registration block: then these clients register. Start anew in the client.",
	Link: "https://github.com/anthropics/claude-ai-mcp/issues/435",
	Sign: func(c *Case) *Evidence {
		s := firstOf(c.last("client_document.unreachable"), c.last("sign_in.refused", "documents_unreachable"))
		return seen(s).when(s != nil && c.after(s, "client.registered") == nil).but("no registration followed")
	},
}, {
	ID: "document-unusable", At: Client,
	What: "The metadata document that says who {client} is cannot be used.",
	Why:  "It could not be fetched, or has a mistake: {cause}. It is fetched from the internet by https alone.",
	Fix:  "Open the client's ID, which is a URL, in a browser. If there is no JSON with the same client_id, its maker has to mend it; if there is, see whether this machine can fetch it.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("sign_in.refused", "document_unusable"), c.last("token.refused", "document_unusable")))
	},
}, {
	ID: "document-not-accepted", At: Operator,
	What: "{client} says who it is by a metadata document, and this site takes none of that host.",
	Why:  "The configuration limits from where documents are taken, or turns them off.",
	Fix:  "If you trust the host in the client's ID, set metadata_documents on, and add it to allow_hosts if there is such a list, in the registration block; or add the client to the configuration (client …).",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("sign_in.refused", "document_not_accepted"), c.last("token.refused", "document_not_accepted")))
	},
}, {
	ID: "forgotten-registration", At: Client,
	What: "{client} calls itself by a client_id that is not known here, so it was refused.",
	Why:  "The client remembers a registration that has ended: it was not used for long, the database was replaced, or it belongs to another address of this site. It should register anew and does not.",
	Fix:  "Have the client forget this server: remove it there and add it again (in Claude: disconnect and reconnect the connector; in Claude Code: claude mcp remove, then add; mcp-remote: delete ~/.mcp-auth).",
	Link: "https://github.com/anthropics/claude-code/issues/84614",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("sign_in.refused", "client_unknown"), c.last("token.refused", "client_unknown")))
	},
}, {
	ID: "redirect-uri-changed", At: Client,
	What: "{client} wants the browser to be sent to another address than it registered.",
	Why:  "Only what was registered gets the code; with http://127.0.0.1 and http://localhost another port will do, but one is not the other. Clients that change their callback keep the old registration.",
	Fix:  "Have the client forget this server, and add it again: it then registers the address that it uses now. A client of the configuration needs the right redirect_uri there.",
	Link: "https://github.com/anthropics/claude-code/issues/58595",
	Sign: func(c *Case) *Evidence {
		return seen(c.last("sign_in.refused", "redirect_uri_unknown", "redirect_uri_missing"))
	},
}, {
	ID: "no-pkce", At: Client,
	What: "{client} asked for a sign-in without PKCE, and was refused.",
	Why:  "PKCE with S256 is required of every client (OAuth 2.1, MCP). The client is too old, or was made for another kind of server.",
	Fix:  "Update the client. There is no option to allow this.",
	Sign: func(c *Case) *Evidence {
		return seen(c.last("sign_in.refused", "pkce_missing", "pkce_method", "pkce_malformed"))
	},
}, {
	ID: "unknown-resource", At: Client,
	What: "{client} asked for access to something that is not a server of this site.",
	Why:  "The resource of its request is not the URL of a server here. Most often the client was given another URL than the one it names, or makes one up.",
	Fix:  "Give the client the URL as `caddy mcp-oauth status` shows it. If that is what it has, report it to its maker: resource must be what the protected resource metadata says.",
	Link: "https://github.com/google-gemini/gemini-cli/issues/25508",
	Sign: func(c *Case) *Evidence {
		s := firstOf(c.last("sign_in.refused", "invalid_target"), c.last("token.refused", "invalid_target"))
		return seen(s).when(!says(s, "exceeds"))
	},
}, {
	ID: "resource-not-approved", At: Client,
	What: "{client} asked for tokens for a server that {person} did not approve with this sign-in.",
	Why:  "A sign-in is good for the servers that were ticked on its page. The client uses one sign-in for several servers, or changed the URL of the server since.",
	Fix:  "Sign in again in the client for that server.",
	Sign: func(c *Case) *Evidence {
		s := c.last("token.refused", "invalid_target")
		return seen(s).when(says(s, "exceeds"))
	},
}, {
	ID: "wrong-scope", At: Client,
	What: "{client} asked for scopes that it cannot have: {detail}.",
	Why:  "Scopes that nobody knows are left out; these are malformed, or more than its person approved.",
	Fix:  "Remove the scopes from the client's configuration: without any, it gets the ones that are needed. If its person shall have more, sign in again.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("sign_in.refused", "invalid_scope"), c.last("token.refused", "invalid_scope")))
	},
}, {
	ID: "needs-registration", At: Operator,
	What: "{client} read how to sign in here, found no way to register, and gave up.",
	Why:  "Registration is off in the configuration. Claude Code wants it to be there even though it could use a metadata document.",
	Fix:  "Remove `dynamic off` from the registration block, or add the client to the configuration (client …) and give it that client_id.",
	Sign: func(c *Case) *Evidence {
		s := c.last("metadata.served", "authorization_server")
		return seen(s).when(says(s, "no registration") && c.quiet(s, patience, began...)).but("no registration and no sign-in followed")
	},
}, {
	ID: "resource-differs", At: Client,
	What: "{client} read which server this is, and went no further.",
	Why:  "A client compares the address in that document with the URL that was typed, byte for byte. Grok Build and others stop without a word if they differ in as much as a slash.",
	Fix:  "Give the client exactly the URL that `caddy mcp-oauth status` shows for the server {server}: scheme, host, path, slash at the end. If that is what it has, it may not be able to sign in by OAuth: see what it says itself.",
	Link: "https://github.com/google-gemini/gemini-cli/issues/20017",
	Sign: func(c *Case) *Evidence {
		s := c.last("metadata.served", "protected_resource")
		if s == nil || c.last("metadata.served", "authorization_server") != nil {
			return nil
		}
		return seen(s).when(c.quiet(s, patience, began...)).but("it did not read how to sign in (authorization server metadata)")
	},
}, {
	ID: "stopped-after-metadata", At: Client,
	What: "{client} read how to sign in here, and did not go on.",
	Why:  "All that it needs was there: registration and metadata documents. It may wait for its person to allow the sign-in, want a client_id to be configured, or not take this site's metadata.",
	Fix:  "See whether the client waits for a click (Codex: codex mcp login; Claude Code: /mcp). @mastra/mcp has to be given a client_id or a metadata document: it does not register. Else `caddy mcp-oauth doctor {site}` tells what each known client makes of this site.",
	Sign: func(c *Case) *Evidence {
		s := c.last("metadata.served", "authorization_server")
		return seen(s).when(c.quiet(s, patience, began...)).but("no registration and no sign-in followed")
	},
}, {
	ID: "does-not-sign-in", At: Client,
	What: "{client} was told to sign in, and did not look where.",
	Why:  "It does not know the sign-in of MCP, or is configured not to use it; or something between it and this site answers /.well-known/ itself.",
	Fix:  "See in the client's documentation whether it can sign in to MCP servers by OAuth. If it cannot, give its person a virtual key to send as bearer token (caddy mcp-oauth keys). If it should, run `caddy mcp-oauth doctor` from where the client is.",
	Sign: func(c *Case) *Evidence {
		s := c.last("gate.refused", trace.NoToken)
		if s == nil || c.first("metadata.served") != nil {
			return nil
		}
		return seen(s).when(c.quiet(s, patience, began...)).but("it read none of the documents at /.well-known/")
	},
}, {
	ID: "foreign-token", At: Person,
	What: "{client} sent a token that this site never made.",
	Why:  "It is a wrong virtual key, a token of another site, or a placeholder in the client's configuration that was not replaced.",
	Fix:  "Look at the token in the client's configuration. Without any, the client signs in by itself; `caddy mcp-oauth keys` makes a virtual key.",
	Sign: func(c *Case) *Evidence { return seen(c.last("gate.refused", "token_not_issued")) },
}, {
	ID: "malformed-authorization", At: Client,
	What: "{client} sent an Authorization header that cannot be read.",
	Why:  "It should be “Authorization: Bearer” and one token. Often a placeholder in the client's configuration was not replaced, or the word Bearer is missing or there twice.",
	Fix:  "Look at the headers in the client's configuration.",
	Sign: func(c *Case) *Evidence { return seen(c.last("gate.refused", "malformed_authorization")) },
}}

// sameServer reports whether two traces may be of the same server: many clients register
// once for each.
func sameServer(a, b *trace.Trace) bool {
	return len(a.Servers) == 0 || len(b.Servers) == 0 || slices.ContainsFunc(a.Servers, func(id string) bool { return slices.Contains(b.Servers, id) })
}

func firstOf(steps ...*trace.Step) *trace.Step {
	for _, s := range steps {
		if s != nil {
			return s
		}
	}
	return nil
}
