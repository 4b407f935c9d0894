package doctor

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const html = "<!doctype html><title>Welcome</title>"

// Each row is a server with one defect, and what is found of it: that, and
// nothing else.
var defects = []struct {
	id, name string
	token    string
	// also is what is found of a server on which alone the defect can be seen.
	also   string
	breaks func(*site)
}{
	{id: "server_error", breaks: func(s *site) { s.page(mcpPage, when(noToken, answers(502))) }},
	{id: "not_mcp", name: "not found", breaks: func(s *site) { s.page(mcpPage, when(noToken, answers(404))) }},
	{id: "not_mcp", name: "a web page", breaks: func(s *site) { s.page(mcpPage, when(noToken, answers(200, "Content-Type", "text/html", "", html))) }},
	{id: "legacy_transport_only", breaks: func(s *site) {
		s.always("POST "+mcpPage, 405)
		s.always("GET "+mcpPage, 200, "Content-Type", "text/event-stream", "", "event: endpoint\ndata: /messages\n\n")
	}},
	{id: "redirected", name: "login page", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, answers(302, "Location", "https://login.example.com/")))
	}},
	{id: "wrong_refusal", breaks: func(s *site) { s.page(mcpPage, when(noToken, answers(403, "Content-Type", "text/plain", "", "no"))) }},
	{id: "challenge_missing", name: "none", breaks: func(s *site) { s.page(mcpPage, with401("")) }},
	{id: "challenge_missing", name: "basic", breaks: func(s *site) { s.page(mcpPage, with401(`Basic realm="x"`)) }},
	{id: "challenge_without_metadata", breaks: func(s *site) { s.page(mcpPage, when(noToken, with401(`Bearer scope="mcp:use"`))) }},
	{id: "metadata_url", name: "relative", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, with401(`Bearer resource_metadata="/.well-known/oauth-protected-resource/mcp"`)))
	}},
	{id: "metadata_url", name: "http", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, with401(`Bearer resource_metadata="http://mcp.example.com/.well-known/oauth-protected-resource/mcp"`)))
	}},
	{id: "error_without_token", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, with401(`Bearer error="invalid_token", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`)))
	}},
	{id: "offline_access", name: "metadata", breaks: func(s *site) { s.resource()["scopes_supported"] = []string{scope, "offline_access"} }},
	{id: "discovery_blocked", name: "basic auth", breaks: func(s *site) { s.always(resourcePage, 401, "WWW-Authenticate", "Basic") }},
	{id: "discovery_blocked", name: "login page", breaks: func(s *site) {
		s.always(resourcePage, 302, "Location", "https://mcp.example.com/login")
		s.always("mcp.example.com/login", 200, "Content-Type", "text/html", "", html)
	}},
	{id: "discovery_redirected", breaks: func(s *site) {
		s.move(resourcePage, "mcp.example.com/elsewhere")
		s.always("GET "+resourcePage, 302, "Location", "https://mcp.example.com/elsewhere")
	}},
	{id: "discovery_not_json", name: "a web application", breaks: func(s *site) { s.always(resourcePage, 200, "Content-Type", "text/html", "", html) }},
	{id: "discovery_media_type", breaks: func(s *site) { s.page("GET "+resourcePage, changed(0, "Content-Type", "text/plain")) }},
	{id: "private_address", breaks: func(s *site) { s.resource()["authorization_servers"] = []string{"https://private.example.com"} }},
	{id: "unreachable", breaks: func(s *site) { s.resource()["authorization_servers"] = []string{"https://nobody.example.com"} }},
	{id: "resource_metadata_missing", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, with401(`Bearer scope="mcp:use"`)))
		delete(s.documents, resourcePage)
	}},
	{id: "metadata_url_dead", breaks: func(s *site) { s.move(resourcePage, rootResource) }},
	{id: "resource_mismatch", name: "slash", breaks: func(s *site) { s.resource()["resource"] = serverURL + "/" }},
	{id: "resource_mismatch", name: "origin", breaks: func(s *site) { s.resource()["resource"] = "https://mcp.example.com" }},
	{id: "resource_mismatch", name: "missing", breaks: func(s *site) { delete(s.resource(), "resource") }},
	{id: "no_authorization_server", breaks: func(s *site) { s.resource()["authorization_servers"] = []string{} }},
	{id: "issuer_invalid", breaks: func(s *site) { s.resource()["authorization_servers"] = []string{"as.example.com"} }},
	{id: "provider_metadata_missing", breaks: func(s *site) { delete(s.documents, providerPage) }},
	{id: "provider_metadata_oidc_only", breaks: func(s *site) { s.move(providerPage, oidcPage) }},
	{id: "issuer_mismatch", name: "slash", breaks: func(s *site) { s.provider()["issuer"] = issuer + "/" }},
	{id: "issuer_mismatch", name: "another", breaks: func(s *site) { s.provider()["issuer"] = "http://localhost:3000" }},
	{id: "provider_metadata_incomplete", breaks: func(s *site) { delete(s.provider(), "token_endpoint") }},
	{id: "endpoint_invalid", breaks: func(s *site) { s.provider()["token_endpoint"] = "http://as.example.com/token" }},
	{id: "pkce_not_announced", breaks: func(s *site) { delete(s.provider(), "code_challenge_methods_supported") }},
	{id: "no_code_grant", breaks: func(s *site) { s.provider()["response_types_supported"] = []string{"token"} }},
	{id: "no_refresh", breaks: func(s *site) { s.provider()["grant_types_supported"] = []string{"authorization_code"} }},
	{id: "metadata_disagrees", breaks: func(s *site) {
		other := object{}
		for name, value := range s.provider() {
			other[name] = value
		}
		other["token_endpoint"] = issuer + "/oauth/token"
		s.documents[oidcPage] = other
	}},
	{id: "public_clients", breaks: func(s *site) { s.provider()["token_endpoint_auth_methods_supported"] = []string{"client_secret_basic"} }},
	{id: "no_registration", breaks: func(s *site) {
		s.both("registration_endpoint", nil)
		s.both("client_id_metadata_document_supported", nil)
		delete(s.documents, earlyPage)
	}},
	{id: "no_documents", breaks: func(s *site) { s.provider()["client_id_metadata_document_supported"] = false }},
	{id: "registration_refused", breaks: func(s *site) { s.always(registerPage, 401, "WWW-Authenticate", "Bearer") }},
	{id: "registration_answer", name: "no client_id", breaks: func(s *site) { s.always(registerPage, 201, "Content-Type", "application/json", "", "{}") }},
	{id: "registration_answer", name: "other redirect URI", breaks: func(s *site) {
		s.always(registerPage, 201, "Content-Type", "application/json", "", `{"client_id":"x","redirect_uris":["https://other.example.com/"]}`)
	}},
	{id: "registration_status", breaks: func(s *site) { s.page(registerPage, changed(200)) }},
	{id: "registration_not_deleted", breaks: func(s *site) {
		for i := range 9 {
			s.always(fmt.Sprintf("DELETE as.example.com/register/client-%d", i), 405)
		}
	}},
	{id: "document_refused", name: "at authorization", breaks: func(s *site) {
		s.page(authorizePag, when(func(r *http.Request) bool { return r.URL.Query().Get("client_id") == document }, answers(400, "Content-Type", "text/html", "", html)))
	}},
	{id: "document_refused", name: "at the token endpoint", breaks: func(s *site) {
		s.page(tokenPage, when(says(url.QueryEscape(document)), answers(401, "Content-Type", "application/json", "", `{"error":"invalid_client"}`)))
	}},
	{id: "authorize_refused", breaks: func(s *site) { s.always(authorizePag, 400, "Content-Type", "text/html", "", html) }},
	{id: "resource_refused", name: "on a page", breaks: func(s *site) {
		s.page(authorizePag, when(func(r *http.Request) bool { return r.URL.Query().Has("resource") }, answers(302, "Location", issuer+"/problem?error=invalid_target")))
		s.always("as.example.com/problem", 200, "Content-Type", "text/html", "", html)
	}},
	{id: "resource_refused", breaks: func(s *site) {
		s.page(authorizePag, when(func(r *http.Request) bool { return r.URL.Query().Has("resource") }, answers(400, "Content-Type", "text/html", "", html)))
	}},
	{id: "scope_refused", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, with401(strings.Replace(goodChallenge, scope, "mcp:more", 1))))
	}},
	{id: "loopback_port", breaks: func(s *site) { s.anyPort = false }},
	{id: "state_lost", breaks: func(s *site) { s.page(authorizePag, back(func(q url.Values) { q.Del("state") })) }},
	{id: "iss_missing", breaks: func(s *site) { s.iss = false }},
	{id: "iss_wrong", breaks: func(s *site) { s.page(authorizePag, back(func(q url.Values) { q.Set("iss", issuer+"/") })) }},
	{id: "iss_not_announced", breaks: func(s *site) { s.both("authorization_response_iss_parameter_supported", nil) }},
	{id: "open_redirector", name: "unknown client", breaks: func(s *site) {
		s.page(authorizePag, when(func(r *http.Request) bool { return r.URL.Query().Get("client_id") == "made-up-client" },
			answers(302, "Location", nowhere+"?error=unauthorized_client")))
	}},
	{id: "open_redirector", name: "unregistered address", breaks: func(s *site) {
		s.page(authorizePag, when(func(r *http.Request) bool {
			return r.URL.Query().Get("redirect_uri") == nowhere && strings.HasPrefix(r.URL.Query().Get("client_id"), "client-")
		}, answers(302, "Location", nowhere+"?error=invalid_request")))
	}},
	{id: "page_framed", breaks: func(s *site) { s.page(authorizePag, changed(0, "Content-Security-Policy", "")) }},
	{id: "no_person_asked", breaks: func(s *site) { s.asks = false }},
	{id: "pkce_not_required", also: "no_person_asked", breaks: func(s *site) { s.asks, s.needsChallenge = false, false }},
	{id: "code_refused", also: "no_person_asked", breaks: func(s *site) {
		s.asks = false
		s.page(tokenPage, when(says("code=issued-"), answers(400, "Content-Type", "application/json", "", `{"error":"invalid_grant"}`)))
	}},
	{id: "token_cached", also: "no_person_asked", breaks: func(s *site) {
		s.asks = false
		s.page(tokenPage, changed(0, "Cache-Control", ""))
	}},
	{id: "token_endpoint", name: "a web page", breaks: func(s *site) { s.always(tokenPage, 200, "Content-Type", "text/html", "", html) }},
	{id: "token_endpoint", name: "not found", breaks: func(s *site) { s.always(tokenPage, 404) }},
	{id: "client_forgotten", breaks: func(s *site) {
		s.page(tokenPage, when(says("client_id=client-"), answers(401, "Content-Type", "application/json", "", `{"error":"invalid_client"}`)))
	}},
	{id: "grant_error", breaks: func(s *site) {
		s.always(tokenPage, 400, "Content-Type", "application/json", "", `{"error":"invalid_request"}`)
	}},
	{id: "bad_token_accepted", breaks: func(s *site) {
		s.page(mcpPage, when(madeUpToken, func(w http.ResponseWriter, r *http.Request, before http.Handler) {
			r.Header.Set("Authorization", "Bearer "+goodToken)
			before.ServeHTTP(w, r)
		}))
	}},
	{id: "bad_token_status", breaks: func(s *site) { s.page(mcpPage, when(madeUpToken, answers(403))) }},
	{id: "bad_token_error", breaks: func(s *site) { s.page(mcpPage, when(madeUpToken, with401(goodChallenge))) }},
	{id: "stream_open", breaks: func(s *site) { s.always("GET "+mcpPage, 200, "Content-Type", "text/event-stream", "", ": hello\n\n") }},
	{id: "origin_ignored", token: goodToken, breaks: func(s *site) {
		s.page("POST "+mcpPage, func(w http.ResponseWriter, r *http.Request, before http.Handler) {
			if r.Header.Get("Origin") != "" {
				r.Header.Set("Origin", pageOrigin)
			}
			before.ServeHTTP(w, r)
		})
	}},
	{id: "token_refused", token: "another", breaks: func(*site) {}},
	{id: "initialize_failed", token: goodToken, breaks: func(s *site) {
		s.revisions = s.revisions[:1]
		s.page("POST "+mcpPage, when(withToken(says(`"initialize"`)), answers(200, "Content-Type", "application/json", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}`)))
	}},
	{id: "initialize_failed", name: "in place of 401", breaks: func(s *site) {
		s.page(mcpPage, when(noToken, answers(200, "Content-Type", "application/json", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"unauthorized"}}`)))
	}},
	{id: "session_id", token: goodToken, breaks: func(s *site) { s.page(mcpPage, changed(0, "Mcp-Session-Id", "a session")) }},
	{id: "session_unknown", token: goodToken, breaks: func(s *site) {
		s.page(mcpPage, when(func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Mcp-Session-Id"), "00000000") }, answers(400)))
	}},
	{id: "version_ignored", token: goodToken, breaks: func(s *site) {
		s.page(mcpPage, func(w http.ResponseWriter, r *http.Request, before http.Handler) {
			if r.Header.Get("Mcp-Protocol-Version") == "1999-12-31" {
				r.Header.Del("Mcp-Protocol-Version")
			}
			before.ServeHTTP(w, r)
		})
	}},
	{id: "list_failed", token: goodToken, breaks: func(s *site) {
		s.page("POST "+mcpPage, when(withToken(says(`"tools/list"`)), answers(400, "Content-Type", "application/json", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}`)))
		s.revisions = s.revisions[:1]
	}},
	{id: "discover_failed", token: goodToken, breaks: func(s *site) {
		s.page("POST "+mcpPage, when(withToken(says(`"server/discover"`)), answers(404, "Content-Type", "application/json", "", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`)))
	}},
	{id: "headers_ignored", token: goodToken, breaks: func(s *site) {
		s.page("POST "+mcpPage, func(w http.ResponseWriter, r *http.Request, before http.Handler) {
			if r.Header.Get("Mcp-Method") == "resources/list" {
				r.Header.Set("Mcp-Method", "tools/list")
			}
			before.ServeHTTP(w, r)
		})
	}},
	{id: "legacy_endpoint", token: goodToken, breaks: func(s *site) {
		s.page("GET "+mcpPage, when(withToken(func(*http.Request) bool { return true }), answers(200, "Content-Type", "text/event-stream", "", "event: endpoint\ndata: https://other.example.com/messages\n\n")))
	}},
	{id: "no_cors", breaks: func(s *site) {
		s.page("POST "+mcpPage, changed(0, "Access-Control-Allow-Origin", ""))
		s.page("OPTIONS "+mcpPage, changed(405, "Access-Control-Allow-Origin", ""))
	}},
	{id: "cors_preflight", name: "needs a token", breaks: func(s *site) { s.page("OPTIONS "+mcpPage, changed(401)) }},
	{id: "cors_preflight", name: "registration", breaks: func(s *site) { s.always("OPTIONS as.example.com/register", 404) }},
	{id: "cors_answer", name: "challenge", breaks: func(s *site) { s.page("POST "+mcpPage, changed(0, "Access-Control-Allow-Origin", "")) }},
	{id: "cors_answer", name: "metadata", breaks: func(s *site) { s.page("GET "+providerPage, changed(0, "Access-Control-Allow-Origin", "")) }},
	{id: "cors_expose", breaks: func(s *site) { s.page("POST "+mcpPage, changed(0, "Access-Control-Expose-Headers", "")) }},
}
