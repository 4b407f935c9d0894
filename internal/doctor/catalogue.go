package doctor

// Kind is something that can be wrong, whichever server has it.
type Kind struct {
	ID       string
	Severity Severity
	Title    string
	Spec     string
	Fix      string
}

// catalogue is all that an examination can find.
var catalogue []*Kind

func define(id string, severity Severity, title, spec, fix string) *Kind {
	k := &Kind{id, severity, title, spec, fix}
	catalogue = append(catalogue, k)
	return k
}

// Of the first request, without a token.
var (
	badCertificate = define("certificate", Failure,
		"the certificate is not trusted",
		"MCP authorization, communication security; RFC 9110 section 4.3.4",
		"Have a certificate that names the host and that clients trust, sent with its intermediates. If it is of your own authority, give its file with --ca.")
	serverError = define("server_error", Failure,
		"the server answers a first request with a server error",
		"MCP authorization, error handling",
		"Look at the log of the MCP server and of the proxy in front of it.")
	notMCP = define("not_mcp", Failure,
		"there is no MCP endpoint at this address",
		"MCP transports, Streamable HTTP",
		"Check the path. A POST with a JSON-RPC message has to arrive at the MCP server.")
	legacyOnly = define("legacy_transport_only", Failure,
		"the server has the HTTP+SSE transport only",
		"MCP 2025-03-26 and later, transports; deprecated since then",
		"Serve Streamable HTTP. Clients that have dropped HTTP+SSE cannot connect.")
	redirected = define("redirected", Failure,
		"the address answers with a redirect",
		"MCP authorization, error handling: 401 for a request without a token",
		"Answer at the very address that people give to their clients. A login page in front has to let this path and the well-known paths through.")
	wrongRefusal = define("wrong_refusal", Failure,
		"a request without a token is refused, but not with 401",
		"MCP authorization, error handling; RFC 6750 section 3",
		"Answer 401 with WWW-Authenticate. Clients take anything else for a failure, and do not ask anybody to sign in.")
	noChallenge = define("challenge_missing", Failure,
		"the 401 has no Bearer challenge",
		"RFC 9110 section 15.5.2; RFC 9728 section 5.1; MCP 2025-06-18 authorization",
		`Add WWW-Authenticate: Bearer resource_metadata="…". If the server sends it, see that the proxy in front does not drop it.`)
	challengeWithoutMetadata = define("challenge_without_metadata", Failure,
		"the challenge does not say where the resource metadata is",
		"MCP 2025-06-18 authorization, authorization server location; RFC 9728 section 5.1",
		"Add resource_metadata to the challenge. Clients of 2025-06-18 look nowhere else.")
	badMetadataURL = define("metadata_url", Failure,
		"resource_metadata of the challenge is no address that a client can use",
		"RFC 9728 section 5.1",
		"It has to be an absolute URL, https unless the server is http. Behind a proxy that ends TLS, configure the public URL instead of deriving it from the request.")
	noErrorExpected = define("error_without_token", Note,
		"the challenge has an error although no token was sent",
		"RFC 6750 section 3.1",
		"Leave error out for requests without a token.")
	offlineAccess = define("offline_access", Note,
		"the server asks for offline_access as if it were a scope of its own",
		"MCP 2026-07-28 authorization, refresh tokens",
		"Name offline_access in the authorization server's scopes_supported only.")
)

// Of any metadata document.
var (
	blocked = define("discovery_blocked", Failure,
		"a discovery document is only for those who are signed in",
		"RFC 9728 section 3; RFC 8414 section 3",
		"Exempt everything below /.well-known/ from basic auth, login pages and other authentication.")
	discoveryRedirected = define("discovery_redirected", Warning,
		"a discovery document is answered with a redirect",
		"RFC 9728 section 3.2 and RFC 8414 section 3.2: 200",
		"Serve the document at this address. Clients that guard against being led astray follow no redirect.")
	notJSON = define("discovery_not_json", Failure,
		"what is at the place of a discovery document is not one",
		"RFC 9728 section 3.2; RFC 8414 section 3.2",
		"Serve the JSON document there, or 404. Often a web application answers every path with its start page.")
	mediaType = define("discovery_media_type", Warning,
		"a discovery document is not sent as application/json",
		"RFC 9728 section 3.2; RFC 8414 section 3.2",
		"Send Content-Type: application/json.")
	privateAddress = define("private_address", Failure,
		"the server is on the internet, and names an address that is not",
		"MCP security best practices, server-side request forgery",
		"Name an address that clients can reach. Behind a proxy, configure the public URL.")
	unreachable = define("unreachable", Failure,
		"an address that the server names does not answer",
		"RFC 9728 section 3; RFC 8414 section 3",
		"Correct the address, or start what should answer there.")
)

// Of the resource metadata.
var (
	noResourceMetadata = define("resource_metadata_missing", Failure,
		"there is no resource metadata",
		"MCP 2025-06-18 and later, authorization server discovery; RFC 9728 section 3",
		"Serve it at /.well-known/oauth-protected-resource followed by the path of the server, and name that address in the challenge.")
	deadMetadataURL = define("metadata_url_dead", Failure,
		"the challenge names resource metadata that is not there",
		"RFC 9728 section 5.1",
		"Serve the document at that address. A client that was told where it is does not look elsewhere.")
	resourceMismatch = define("resource_mismatch", Failure,
		"the resource metadata is about another address",
		"RFC 9728 section 3.3: resource is identical to the URL of the server",
		"Set resource to exactly the URL that people give to their clients: scheme, host, port, path and slash. Behind a proxy, configure the public URL.")
	noAuthorizationServer = define("no_authorization_server", Failure,
		"the resource metadata names no authorization server",
		"MCP authorization, authorization server location",
		"List the issuer in authorization_servers.")
	badIssuer = define("issuer_invalid", Failure,
		"the authorization server is named by something that is no issuer",
		"RFC 8414 section 2: https, no query, no fragment",
		"List the issuer's identifier, exactly as its own metadata has it.")
)

// Of the authorization server's metadata.
var (
	noProviderMetadata = define("provider_metadata_missing", Failure,
		"the authorization server has no metadata",
		"RFC 8414 section 3; MCP authorization, authorization server metadata discovery",
		"Serve it at /.well-known/oauth-authorization-server, followed by the path of the issuer if it has one.")
	oidcOnly = define("provider_metadata_oidc_only", Warning,
		"the authorization server has its metadata under OpenID Connect's name only",
		"MCP 2025-06-18 authorization: RFC 8414",
		"Serve the same document at /.well-known/oauth-authorization-server. Clients of 2025-06-18 look nowhere else.")
	issuerMismatch = define("issuer_mismatch", Failure,
		"the authorization server calls itself by another name",
		"RFC 8414 section 3.3: issuer is identical to what the metadata was asked for by",
		"Write the issuer in authorization_servers byte for byte as in its metadata. A slash at the end counts.")
	incomplete = define("provider_metadata_incomplete", Failure,
		"the authorization server's metadata lacks what a client needs",
		"RFC 8414 section 2",
		"Add the member.")
	badEndpoint = define("endpoint_invalid", Failure,
		"an endpoint in the authorization server's metadata is no address that a client can use",
		"MCP authorization, communication security; RFC 8414 section 2",
		"Endpoints are absolute https URLs. Behind a proxy that ends TLS, configure the public URL.")
	noPKCE = define("pkce_not_announced", Failure,
		"the authorization server does not say that it supports PKCE with S256",
		"MCP 2025-11-25 and later, authorization code protection",
		`Add "code_challenge_methods_supported": ["S256"]. Clients have to refuse to go on without it.`)
	noCodeGrant = define("no_code_grant", Failure,
		"the authorization server does not offer the authorization code grant",
		"OAuth 2.1 section 4.1; RFC 8414 section 2",
		"Add code to response_types_supported, and authorization_code to grant_types_supported.")
	noRefresh = define("no_refresh", Note,
		"the authorization server does not offer refresh tokens",
		"MCP 2026-07-28 authorization, refresh tokens; RFC 8414 section 2",
		"Add refresh_token to grant_types_supported and issue them. Without, people sign in again whenever an access token ends.")
	disagree = define("metadata_disagrees", Warning,
		"the authorization server's two metadata documents say different things",
		"RFC 8414 section 3; OpenID Connect Discovery section 4",
		"Serve one document in both places. Which one a client reads depends on its revision.")
	noPublicClients = define("public_clients", Note,
		"the authorization server does not say that it takes clients without a secret",
		"RFC 8414 section 2: without token_endpoint_auth_methods_supported it is client_secret_basic",
		`Add "none" to token_endpoint_auth_methods_supported. Clients on people's own machines cannot keep a secret.`)
)

// Of registration.
var (
	noRegistration = define("no_registration", Failure,
		"clients cannot make themselves known",
		"MCP 2025-11-25 and later, client registration",
		"Take client ID metadata documents (client_id_metadata_document_supported), or offer dynamic registration (registration_endpoint). Until then each client has to be registered by hand and configured with its client ID.")
	noDocuments = define("no_documents", Note,
		"the authorization server does not take client ID metadata documents",
		"MCP 2025-11-25 and later, client ID metadata documents",
		"Take them: clients of 2026-07-28 prefer them, and dynamic registration is deprecated there.")
	registrationRefused = define("registration_refused", Failure,
		"the authorization server refuses to register a client",
		"RFC 7591 section 3",
		"Take public clients with these redirect URIs without an initial access token. If only some clients may register, configure those.")
	badRegistration = define("registration_answer", Failure,
		"the answer to a registration cannot be used",
		"RFC 7591 section 3.2.1",
		"Answer with JSON that has client_id, and redirect_uris as they are registered.")
	registrationStatus = define("registration_status", Warning,
		"a registration is not answered with 201",
		"RFC 7591 section 3.2.1",
		"Answer 201 Created.")
	notDeleted = define("registration_not_deleted", Warning,
		"a registration can be managed, but is not deleted",
		"RFC 7592 section 2.3",
		"Answer DELETE at registration_client_uri with 204, and forget the client.")
	documentRefused = define("document_refused", Failure,
		"the authorization server says that it takes client ID metadata documents, and refuses one",
		"MCP 2025-11-25 and later, client ID metadata documents",
		"See in its log whether it could fetch the document: it needs outgoing https. If it takes documents of some hosts only, or none, it must not say that it takes them: clients do not register instead.")
)

// Of the authorization endpoint.
var (
	authorizeRefused = define("authorize_refused", Failure,
		"the authorization endpoint refuses a request that is in order",
		"OAuth 2.1 section 4.1.1",
		"See in the log of the authorization server what it did not like.")
	resourceRefused = define("resource_refused", Failure,
		"the authorization endpoint refuses the resource parameter",
		"MCP authorization, resource parameter; RFC 8707 section 2",
		"Accept resource with the URL of the server, or ignore it. All clients send it.")
	scopeRefused = define("scope_refused", Failure,
		"the authorization endpoint refuses the scopes that the server asks for",
		"MCP authorization, scope selection strategy; RFC 6749 section 3.3",
		"Let the server name only scopes that its authorization server has, or have those that it lacks ignored.")
	loopbackPort = define("loopback_port", Failure,
		"a redirect URI on loopback is refused because of its port",
		"RFC 8252 section 7.3; OAuth 2.1 section 4.1.1",
		"Compare http redirect URIs of 127.0.0.1, [::1] and localhost without their port, whether or not the client said application_type native: applications do not know the port before they start.")
	stateLost = define("state_lost", Failure,
		"an authorization response does not repeat state",
		"RFC 6749 sections 4.1.2 and 4.1.2.1",
		"Send state back byte for byte, with errors as well.")
	issMissing = define("iss_missing", Failure,
		"an authorization response lacks the iss that the metadata promises",
		"RFC 9207 section 2.4; MCP 2026-07-28 authorization response validation",
		"Send iss with every authorization response, errors included, or do not promise it. Clients refuse the response.")
	issWrong = define("iss_wrong", Failure,
		"an authorization response has the iss of somebody else",
		"RFC 9207 section 2.4",
		"Send exactly the issuer of the metadata. A slash at the end counts.")
	issNotAnnounced = define("iss_not_announced", Warning,
		"authorization responses have iss, and the metadata does not say so",
		"RFC 9207 section 3",
		`Add "authorization_response_iss_parameter_supported": true.`)
	openRedirector = define("open_redirector", Failure,
		"a browser is sent to an address that no client registered",
		"RFC 6749 section 4.1.2.1; MCP authorization, open redirection",
		"Show an error page if the client or its redirect URI is not known. Redirect to registered addresses only.")
	pageFramed = define("page_framed", Warning,
		"the page on which people sign in can be put into a frame of another site",
		"OAuth 2.1 section 7.10",
		"Send Content-Security-Policy: frame-ancestors 'none', or X-Frame-Options: DENY.")
	noPersonAsked = define("no_person_asked", Warning,
		"a code is given out without anybody having signed in",
		"OAuth 2.1 section 3.1: the authorization server authenticates the resource owner first",
		"Have people sign in and approve. As it is, whoever asks gets a token.")
	pkceNotRequired = define("pkce_not_required", Failure,
		"a code is given out without PKCE",
		"OAuth 2.1 section 4.1.1",
		"Refuse authorization requests without code_challenge.")
)

// Of the token endpoint.
var (
	badTokenEndpoint = define("token_endpoint", Failure,
		"the token endpoint does not answer like one",
		"RFC 6749 section 5.2",
		"Answer a POST with a form; errors are JSON with error, and 400 or 401.")
	clientForgotten = define("client_forgotten", Failure,
		"the token endpoint does not know the client that has just made itself known",
		"RFC 7591 section 3.2.1; RFC 6749 section 5.2",
		"See that both endpoints use the same store, and that the client may authenticate as it was registered.")
	grantError = define("grant_error", Failure,
		"the token endpoint does not call a bad code or refresh token invalid_grant",
		"RFC 6749 section 5.2",
		"Answer 400 invalid_grant. Only then do clients ask people to sign in again.")
	codeRefused = define("code_refused", Failure,
		"the token endpoint refuses the code that was just given out",
		"RFC 6749 section 4.1.3; RFC 7636 section 4.6",
		"See in the log of the authorization server what it did not like.")
	tokenCached = define("token_cached", Warning,
		"an answer with tokens may be kept by a cache",
		"RFC 6749 section 5.1",
		"Send Cache-Control: no-store.")
)
