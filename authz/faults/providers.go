package faults

// providerFaults are those of providers behind MCP servers, and of the servers. What
// they need is, most often, an option.
var providerFaults = []*Fault{{
	ID: "provider-takes-no-resource", At: Provider,
	What: "{provider} refused the request because it names the resource, as MCP wants it.",
	Why:  "Microsoft Entra ID (AADSTS9010010) and others do not know the parameter resource, or call the server by another name.",
	Fix:  "In the block of server {id} set no_resource, or resource to what the provider calls the server. Then {person} tries again.",
	Link: "https://github.com/anthropics/claude-code/issues/73460",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "invalid_target")) },
}, {
	ID: "provider-redirect-uri", At: Operator,
	What: "{provider} does not take the redirect URI of this site.",
	Why:  "It registers only redirect URIs that it knows: {cause}.",
	Fix:  "Register an application at the provider with the redirect URI {site}/api/oauth/callback, and set client_id in the block of server {id}.",
	Sign: func(c *Case) *Evidence {
		return seen(accountFailure(c, "redirect uri was not accepted", "invalid_redirect_uri"))
	},
}, {
	ID: "provider-without-registration", At: Operator,
	What: "{provider} lets no client register by itself, and no client is configured for server {id}.",
	Why:  "Many providers, such as GitHub, Google, Slack and Entra, want an application that somebody registers in their console.",
	Fix:  "Register an application there, with the redirect URI {site}/api/oauth/callback, and set client_id and client_secret in the block of server {id}.",
	Link: "https://github.com/github/github-mcp-server/issues/1404",
	Sign: func(c *Case) *Evidence {
		return seen(accountFailure(c, "offers no registration", "registration refused", "takes metadata documents alone"))
	},
}, {
	ID: "provider-cannot-fetch-document", At: Operator,
	What: "{provider} does not know this site's client: it probably could not fetch the metadata document that says who this site is.",
	Why:  "The document is at this site, and the provider has to reach it from the internet.",
	Fix:  "If the site is not reachable from there, set metadata_document off in the block of server {id}; this site then registers instead.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "failed to fetch")) },
}, {
	ID: "provider-client-secret", At: Operator,
	What: "{provider} does not accept the client that is configured for server {id}.",
	Why:  "client_id or client_secret are wrong or expired, auth_method is another one, or the redirect URI is not the registered one.",
	Fix:  "Compare them in the provider's console with the block of server {id}. The redirect URI is {site}/api/oauth/callback unless callback_path is set.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "check client_id, client_secret")) },
}, {
	ID: "provider-forgot-registration", At: Provider,
	What: "{provider} does not know this site's registration any more.",
	Why:  "It forgets clients after some time, or lost them. This site notices, and registers anew with the next attempt.",
	Fix:  "Connect again. If it fails again, `caddy mcp-oauth providers` shows the registration and can forget it.",
	Link: "https://github.com/stacklok/toolhive/issues/5377",
	Sign: func(c *Case) *Evidence {
		return seen(accountFailure(c, "looks into the registration", "invalid_client"))
	},
}, {
	ID: "provider-without-pkce", At: Provider,
	What: "{provider} does not say that it supports PKCE, so it is not used.",
	Why:  "Without PKCE an intercepted code is enough to take over the account. Some providers support it and do not say so.",
	Fix:  "If its documentation says that it supports PKCE with S256, set allow_missing_pkce in the block of server {id}.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "pkce", "code_challenge")) },
}, {
	ID: "provider-other-issuer", At: Provider,
	What: "{provider} names itself differently than where it was found, so its answer is not used.",
	Why:  "An issuer must be the same, byte for byte, in metadata and answers (RFC 8414, RFC 9207): {cause}.",
	Fix:  "If it is the right provider, set issuer in the block of server {id} to what it calls itself. Else leave it: somebody may be trying to mix providers up.",
	Link: "https://github.com/openai/codex/issues/38944",
	Sign: func(c *Case) *Evidence {
		return seen(accountFailure(c, "issuer is", "iss is", "path of another provider", "names another provider"))
	},
}, {
	ID: "server-other-resource", At: Provider,
	What: "The MCP server says that it is another one than {server} in the configuration.",
	Why:  "The resource in its metadata is not its URL: {cause}.",
	Fix:  "If it is the right server, set resource in the block of server {id} to what it says.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "is for another resource")) },
}, {
	ID: "provider-unknown-scope", At: Operator,
	What: "{provider} does not know the scopes that this site asks for.",
	Why:  "They come from the MCP server's metadata, or from scopes in the configuration. Some providers want them with commas between them.",
	Fix:  "Set scopes in the block of server {id} to those of the provider's documentation, and scope_separator if it wants commas.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "invalid_scope", "too many to ask for")) },
}, {
	ID: "provider-certificate", At: Provider,
	What: "The certificate of {provider} is not accepted.",
	Why:  "{cause}",
	Fix:  "Have it renewed; or, for one of your own authority, have this machine trust that authority.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "certificate is not accepted")) },
}, {
	ID: "provider-in-private-network", At: Operator,
	What: "{provider} is at an address of a private network, which this site does not reach by itself.",
	Why:  "The MCP server named it, not you. If any server could name such addresses, it could have this site ask your internal machines.",
	Fix:  "If it is the right one, set issuer in the block of server {id}: what the configuration names may be anywhere.",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "only the internet over https")) },
}, {
	ID: "provider-user-token", At: Operator,
	What: "{provider} gave a token of {person}, beside or instead of one of an application.",
	Why:  "Slack has tokens of both kinds; the one of the person stands in authed_user, or is of the type user.",
	Fix:  "Set user_token in the block of server {id}. Then {person} tries again.",
	Link: "https://github.com/anthropics/claude-code/issues/59725",
	Sign: func(c *Case) *Evidence { return seen(accountFailure(c, "set user_token")) },
}, {
	ID: "provider-sends-no-tokens", At: Provider,
	What: "{provider} answered with something that cannot be used as tokens.",
	Why:  "{cause}",
	Fix:  "See the provider's documentation for another token endpoint, and set token_endpoint in the block of server {id}.",
	Sign: func(c *Case) *Evidence {
		return seen(accountFailure(c, "unsupported token response", "no token_endpoint", "check the provider's token_endpoint"))
	},
}, {
	ID: "key-refused", At: Person,
	What: "{server} does not take the key that {person} pasted.",
	Why:  "It is mistyped, withdrawn, or a key of another kind.",
	Fix:  "Make a new key at the service, and paste it at {site}/oauth/account.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("connection.refused", "wrong_key"), c.last("connection.failed", "wrong_key")))
	},
}, {
	ID: "declined-at-provider", At: Person,
	What: "{person} did not agree at {provider}, or may not.",
	Why:  "It answered access_denied: somebody pressed Cancel, or an administrator there has to allow the application first.",
	Fix:  "Try again and agree. If that is not offered, ask the administrator of the service to allow the application.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("connection.refused", "declined"), c.last("connection.failed", "declined")))
	},
}, {
	ID: "answer-too-late", At: Person,
	What: "The answer of {provider} came too late, twice, or to another browser than the one that began.",
	Why:  "A request to connect is good for 15 minutes, once, and in one browser.",
	Fix:  "Connect again, in one go.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("connection.refused", "trip_ended", "request_ended", "other_browser", "left", "replaced"), c.last("connection.failed", "trip_ended", "request_ended", "other_browser", "left", "replaced")))
	},
}, {
	ID: "account-lost", At: Provider,
	What: "{provider} does not renew the account that {person} connected for {server} any more.",
	Why:  "It refused the refresh token. It was withdrawn there, a password was changed, or the provider ends it by itself after some time: {cause}.",
	Fix:  "{person} connects the account again at {site}/oauth/account. If it happens to everybody after the same time, look for such a limit at the provider.",
	Link: "https://github.com/BerriAI/litellm/issues/33072",
	Sign: func(c *Case) *Evidence { return seen(c.last("connection.lost")) },
}, {
	ID: "provider-unreachable", At: Provider,
	What: "{provider} does not answer.",
	Why:  "{cause}",
	Fix:  "Try again in some minutes. If it lasts, see whether this machine reaches the provider; accounts that are connected are kept.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("connection.failed", "provider_down"), c.last("connection.refused", "provider_down"), c.last("call.failed", "provider_unavailable"), c.last("provider.unreachable")))
	},
}, {
	ID: "server-denies-account", At: Provider,
	What: "{server} refuses the account that {person} connected, though its provider has just renewed it.",
	Why:  "The token is good for the provider, and not for the server: it is for another resource, lacks a permission, or the server has an error.",
	Fix:  "Try resource or scopes in the block of server {id}, as its documentation has them. {person} may have to connect again, with an account that may use it.",
	Sign: func(c *Case) *Evidence {
		return seen(firstOf(c.last("call.needs_account", "call_denied"), c.last("server.misconfigured", "renewed_credential_denied", "credential_denied")))
	},
}, {
	ID: "account-lacks-permission", At: Person,
	What: "The account of {person} at {server} is not allowed to do what was asked.",
	Why:  "The server answered 403 insufficient_scope and did not say what is missing, or was asked for it several times already.",
	Fix:  "Use an account that may do this, or have the service allow it.",
	Sign: func(c *Case) *Evidence { return seen(c.last("call.needs_account", "scope_missing")) },
}, {
	ID: "shared-account-missing", At: Operator,
	What: "Nobody has connected the account that everybody uses for {server}.",
	Why:  "The server has `auth oauth`: an operator connects it, once.",
	Fix:  "Run `caddy mcp-oauth connections start {id}` and open the address that it prints.",
	Sign: func(c *Case) *Evidence { return seen(c.last("call.failed", "account_not_connected")) },
}, {
	ID: "server-unreachable", At: Operator,
	What: "The MCP server {server} cannot be reached from this Caddy.",
	Why:  "{cause}",
	Fix:  "See whether it runs, and whether its address in the configuration is right.",
	Sign: func(c *Case) *Evidence { return seen(c.last("server.unreachable")) },
}, {
	ID: "server-fails", At: Operator,
	What: "The MCP server {server} answered with an error of its own.",
	Why:  "The call was let through, and the answer is the MCP server's: this site passes it on as it came.",
	Fix:  "Look at the log of the MCP server at that time.",
	Sign: func(c *Case) *Evidence { return seen(c.last("server.failed", "server_error")) },
}, {
	ID: "no-server-at-address", At: Operator,
	What: "Where the MCP server {server} should be, something else answers: a web page, or that there is nothing.",
	Why:  "The call was let through, and the answer is not that of an MCP server. Most often the address in the configuration lacks the path.",
	Fix:  "See that the address of the server in the configuration is the one at which it speaks MCP, with its path; `caddy mcp-oauth add` with that address tries it.",
	Sign: func(c *Case) *Evidence { return seen(c.last("server.failed", "not_found", "web_page")) },
}, {
	ID: "server-redirects", At: Operator,
	What: "The MCP server {server} answers with a redirect, which is not followed.",
	Why:  "The credential of the person would go along to wherever it points.",
	Fix:  "Set the address of the server to where it redirects to; most often a slash at the end, or https.",
	Sign: func(c *Case) *Evidence { return seen(c.last("server.misconfigured", "redirects")) },
}}
