package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Auth says whose account at the upstream calls use, where it is connected
// through this site instead of being configured: in JSON the counterpart of
// `auth oauth`, `auth per_user_oauth` and `auth per_user_headers`.
type Auth struct {
	// Mode is one of:
	//
	// - `per_user_oauth`: each person connects their own account, with OAuth.
	// - `oauth`: an operator connects one account that everybody's calls use;
	//   see `caddy mcp-oauth connections start`.
	// - `per_user_headers`: each person pastes a key, which is tried before it
	//   is kept.
	Mode Mode `json:"mode"`
	// Optional lets people go on without connecting this server when they sign
	// in. Default: who is asked for this server has to connect it.
	Optional bool `json:"optional,omitempty"`

	// Accounts is `several` if a person can have more than one account at the
	// server, each at a path of its own behind that of the server, such as
	// `/gmail/mcp/work`, under a name that they choose. Only where each person
	// connects on their own. Default: one, at the path of the server.
	Accounts string `json:"accounts,omitempty"`
	// MaxAccounts is how many of them a person can have, at most 100. Default: 10.
	MaxAccounts *int `json:"max_accounts,omitempty"`
	// ExpectDomain are domains, such as `example.com`: what people connect has to be
	// an account there, by its e-mail address as the provider tells it. What it does
	// not tell is refused too. Default: any account.
	ExpectDomain []string `json:"expect_domain,omitempty"`

	// Scopes are asked of the provider. Default: what the server asks for.
	Scopes []string `json:"scopes,omitempty"`
	// ClientID is what the provider knows this site as. Default: our client
	// metadata document where the provider takes one, else dynamic registration.
	ClientID string `json:"client_id,omitempty"`
	// ClientSecret belongs to ClientID: a placeholder such as `{env.SECRET}`. Default:
	// none, for a public client.
	ClientSecret string `json:"client_secret,omitempty"`
	// AuthMethod is how this site authenticates at the token endpoint: one of
	// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `none`.
	// Default: what the provider supports.
	AuthMethod string `json:"auth_method,omitempty"`
	// CallbackPath is the path on this site that the provider was told for
	// ClientID. Default: `/api/oauth/callback`. Without ClientID it is
	// `/api/oauth/callback/` and the id of the server. Servers can share one
	// only if their Issuer, or else their endpoints, are the same.
	CallbackPath string `json:"callback_path,omitempty"`
	// AuthorizationEndpoint is where a provider without discovery lets people agree.
	// Needs TokenEndpoint and ClientID. Default: discovered.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`
	// TokenEndpoint is where such a provider gives tokens. Needs
	// AuthorizationEndpoint and ClientID. Default: discovered.
	TokenEndpoint string `json:"token_endpoint,omitempty"`
	// RevocationEndpoint is where such a provider takes tokens back (RFC 7009).
	// Default: discovered.
	RevocationEndpoint string `json:"revocation_endpoint,omitempty"`
	// Issuer is the provider's. With endpoints, or where the server names
	// another one than the provider itself does. Default: discovered.
	Issuer string `json:"issuer,omitempty"`
	// Resource is what the server is called at the provider (RFC 8707).
	// Default: the upstream URL. Needed where that is an internal address.
	Resource string `json:"resource,omitempty"`
	client.Quirks
	// AccountName says where the name stands by which people recognise the account
	// that they connected, such as `login` or `owner.user.email`: members of
	// the answer of AccountURL, else of the token response. What several hold
	// stands side by side. Default: the e-mail address or name in the id_token or
	// at the userinfo endpoint, where Scopes have `openid`.
	AccountName []string `json:"account_name,omitempty"`
	// AccountURL answers a GET with the access token, as JSON. It is asked once,
	// when somebody connects. Default: the token response is used.
	AccountURL string `json:"account_url,omitempty"`

	// Headers carry the keys that a person pastes, for `per_user_headers`.
	// Default: one key, as bearer token in `Authorization`.
	Headers []AuthHeader `json:"headers,omitempty"`
	// VerifyURL answers a GET with a 2xx status if the pasted keys are good.
	// Default: the server itself is asked.
	VerifyURL string `json:"verify_url,omitempty"`
}

// Mode is whose account at the upstream calls use.
type Mode string

// The modes.
const (
	// OAuth: one connection for everybody, which an operator makes.
	OAuth Mode = "oauth"
	// PerUserOAuth: each person's own connection.
	PerUserOAuth Mode = "per_user_oauth"
	// PerUserHeaders: a key that each person pastes.
	PerUserHeaders Mode = "per_user_headers"
)

// PerUser reports whether each person connects on their own.
func (m Mode) PerUser() bool { return m == PerUserOAuth || m == PerUserHeaders }

var modes = []string{string(OAuth), string(PerUserOAuth), string(PerUserHeaders)}

// AuthMethods are the ways to authenticate at a token endpoint.
var AuthMethods = []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT, oauth.AuthNone}

// pastedFields are those for PerUserHeaders only. Those of both are in
// commonFields; all others are for OAuth.
var (
	pastedFields = []string{"headers", "verify_url"}
	commonFields = []string{"mode", "optional", "accounts", "max_accounts"}
)

// reservedParams are what an authorization request says already, or what would
// lead the answer elsewhere.
var reservedParams = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method",
	"scope", "resource", "request", "request_uri",
}

// resolveAuth checks and completes how servers are connected.
func resolveAuth(s *Site, resolve Resolver) error {
	for i, server := range s.Servers {
		if server.Auth == nil {
			continue
		}
		auth := *server.Auth
		server.Auth = &auth
		path := Index("servers", i)
		if err := auth.resolve(path+".auth", resolve); err != nil {
			return err
		}
		if err := checkCallbackPath(s, path+".auth.callback_path", server); err != nil {
			return err
		}
		if err := checkAccountPaths(s, i); err != nil {
			return err
		}
		if err := server.checkTakenHeaders(path); err != nil {
			return err
		}
	}
	return checkSharedCallbacks(s)
}

func (a *Auth) resolve(path string, resolve Resolver) error {
	for _, address := range []struct {
		name string
		url  *string
	}{
		{"resource", &a.Resource}, {"issuer", &a.Issuer}, {"authorization_endpoint", &a.AuthorizationEndpoint},
		{"token_endpoint", &a.TokenEndpoint}, {"revocation_endpoint", &a.RevocationEndpoint}, {"verify_url", &a.VerifyURL},
		{"account_url", &a.AccountURL},
	} {
		if *address.url == "" {
			continue
		}
		known, err := resolve.replace(path+"."+address.name, address.url)
		if err != nil {
			return err
		}
		if known && !isSecureURL(*address.url) {
			return Errorf(path+"."+address.name, "%q is not an https URL; http is for loopback only", *address.url)
		}
	}
	if err := a.resolveAccounts(path); err != nil {
		return err
	}
	switch a.Mode {
	case OAuth, PerUserOAuth:
		return a.resolveOAuth(path, resolve)
	case PerUserHeaders:
		return a.resolvePasted(path)
	}
	return Errorf(path+".mode", "unknown mode %q%s", a.Mode, Choice(string(a.Mode), modes))
}

func (a *Auth) resolveOAuth(path string, resolve Resolver) error {
	if field := a.firstSet(func(name string) bool { return slices.Contains(pastedFields, name) }); field != "" {
		return Errorf(path+"."+field, "is for auth per_user_headers only; remove it")
	}
	for _, scope := range a.Scopes {
		if strings.Contains(scope, ",") {
			return Errorf(path+".scopes", "%q has a comma; write each scope by itself, with a space between; where the provider wants commas, add `scope_separator ,`", scope)
		}
		if err := checkScope(path+".scopes", scope); err != nil {
			return err
		}
	}
	if err := a.checkEndpoints(path); err != nil {
		return err
	}
	if a.AuthMethod != "" && !slices.Contains(AuthMethods, a.AuthMethod) {
		return Errorf(path+".auth_method", "unknown method %q%s", a.AuthMethod, Choice(a.AuthMethod, AuthMethods))
	}
	if a.ScopeSeparator != "" && strings.Trim(a.ScopeSeparator, " ,;+|") != "" {
		return Errorf(path+".scope_separator", "%q could be part of a scope; use a comma or a space", a.ScopeSeparator)
	}
	for _, name := range slices.Sorted(maps.Keys(a.AuthorizeParams)) {
		if name == "" || slices.Contains(reservedParams, strings.ToLower(name)) {
			return Errorf(path+".authorize_params."+name, "%q belongs to the protocol; remove it", name)
		}
	}
	if err := a.checkAccount(path); err != nil {
		return err
	}
	return a.resolveOAuthClient(path, resolve)
}

// checkAccount refuses what names no account.
func (a *Auth) checkAccount(path string) error {
	if a.AccountURL != "" && len(a.AccountName) == 0 {
		return Errorf(path+".account_url", "goes with account_name; set the member of its answer that has the name, such as `account_name login`")
	}
	for _, member := range a.AccountName {
		if slices.Contains(strings.Split(member, "."), "") {
			return Errorf(path+".account_name", "%q is no member of an answer; write it as name, or owner.user.name for one inside of others", member)
		}
	}
	return nil
}

// checkEndpoints refuses half a provider.
func (a *Auth) checkEndpoints(path string) error {
	switch {
	case a.AuthorizationEndpoint != "" && a.TokenEndpoint == "":
		return Errorf(path+".authorization_endpoint", "goes with token_endpoint; set both, or none to have them discovered")
	case a.AuthorizationEndpoint == "" && a.TokenEndpoint != "":
		return Errorf(path+".token_endpoint", "goes with authorization_endpoint; set both, or none to have them discovered")
	case a.RevocationEndpoint != "" && a.TokenEndpoint == "":
		return Errorf(path+".revocation_endpoint", "it is discovered, unless authorization_endpoint and token_endpoint are set; remove it")
	case a.TokenEndpoint != "" && a.ClientID == "":
		return Errorf(path+".token_endpoint", "a provider without discovery needs a client_id; register this site there, and set client_id")
	}
	return nil
}

func (a *Auth) resolveOAuthClient(path string, resolve Resolver) error {
	if a.ClientID == "" {
		if field := a.firstSet(func(name string) bool { return name == "client_secret" || name == "callback_path" }); field != "" {
			return Errorf(path+"."+field, "belongs to a client_id; set client_id too, or remove it")
		}
		return nil
	}
	for _, v := range []struct {
		name  string
		value *string
	}{{"client_id", &a.ClientID}, {"client_secret", &a.ClientSecret}} {
		known, err := resolve.replace(path+"."+v.name, v.value)
		if err != nil {
			return err
		}
		if known && strings.TrimSpace(*v.value) != *v.value {
			return Errorf(path+"."+v.name, "starts or ends with white space; remove that")
		}
	}
	return checkAuthMethod(path+".auth_method", a.AuthMethod, a.ClientSecret)
}

// checkAuthMethod checks how a client authenticates against the secret it has.
func checkAuthMethod(path, method, clientSecret string) error {
	secret := method == oauth.AuthSecretBasic || method == oauth.AuthSecretPost
	if method != "" && !slices.Contains(AuthMethods, method) {
		return Errorf(path, "unknown method %q%s", method, Choice(method, AuthMethods))
	}
	if secret && clientSecret == "" {
		return Errorf(path, "%s needs a client_secret", method)
	}
	if method != "" && !secret && clientSecret != "" {
		return Errorf(path, "%s uses no client_secret; remove one", method)
	}
	return nil
}

// ConnectedServers returns the servers that accounts are connected at.
func (s *Site) ConnectedServers() []*Server {
	var connected []*Server
	for _, server := range s.Servers {
		if server.Auth != nil {
			connected = append(connected, server)
		}
	}
	return connected
}
