package config

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
	"golang.org/x/net/http/httpguts"
)

// SeveralAccounts is a value of Auth.Accounts.
const SeveralAccounts = "several"

const (
	defaultMaxAccounts = 10
	mostAccounts       = 100
)

// maxAccountName is how long the name of an account can be.
const maxAccountName = 32

// IsAccountName reports whether an account can have the name: letters and digits,
// with hyphens between them. It stands in a URL, which people type and compare, so
// letters are small ones of ASCII.
func IsAccountName(name string) bool {
	if name == "" || len(name) > maxAccountName || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// accountSeparator stands between the id of a server, which has none, and the name
// of an account there.
const accountSeparator = "/"

// AccountID is the id of a server for the account with the name.
func AccountID(server, account string) string { return server + accountSeparator + account }

// SplitID returns what AccountID put together; account is empty for the id of a
// server.
func SplitID(id string) (server, account string) {
	server, account, _ = strings.Cut(id, accountSeparator)
	return server, account
}

// HasAccounts reports whether a person can have several accounts at the server.
func (s *Server) HasAccounts() bool {
	return s.configured == nil && s.Auth != nil && s.Auth.Accounts == SeveralAccounts
}

// ForAccount returns the server as it is for the account with the name, whoever has
// such an account: with an id, a path, a title and a resource of its own. It is nil
// if there can be none.
func (s *Server) ForAccount(name string) *Server {
	if !s.HasAccounts() || !IsAccountName(name) {
		return nil
	}
	account := *s
	account.configured, account.Account = s, name
	account.ID = AccountID(s.ID, name)
	account.Path = s.Path + "/" + name
	account.Resource = s.Resource + "/" + name
	account.Title = fmt.Sprintf("%s (%s)", s.Title, name)
	account.OptionalScopes = slices.Clone(s.OptionalScopes)
	for i, scope := range account.OptionalScopes {
		if scope == oauth.ConnectScope(s.ID) {
			account.OptionalScopes[i] = oauth.ConnectScope(account.ID)
		}
	}
	return &account
}

// Configured returns the server of the configuration: of one that ForAccount
// returned, that which it is an account at.
func (s *Server) Configured() *Server {
	if s.configured == nil {
		return s
	}
	return s.configured
}

// Server returns the server with the id, which may be that of an account, or nil.
func (s *Site) Server(id string) *Server {
	id, account, several := strings.Cut(id, accountSeparator)
	i := slices.IndexFunc(s.Servers, func(server *Server) bool { return server.ID == id })
	switch {
	case i < 0:
		return nil
	case several:
		return s.Servers[i].ForAccount(account)
	}
	return s.Servers[i]
}

// ServersAt returns those of the resources, byte for byte, in the order of the
// configuration; accounts behind their server.
func (s *Site) ServersAt(resources []string) []*Server {
	var servers []*Server
	for _, server := range s.Servers {
		if slices.Contains(resources, server.Resource) {
			servers = append(servers, server)
		}
		if !server.HasAccounts() {
			continue
		}
		for _, resource := range resources {
			if name, below := strings.CutPrefix(resource, server.Resource+"/"); below {
				if account := server.ForAccount(name); account != nil {
					servers = append(servers, account)
				}
			}
		}
	}
	return servers
}

// AccountAt returns the server for the account whose path it is, without a trailing
// slash, or nil.
func (s *Site) AccountAt(path string) *Server {
	for _, server := range s.Servers {
		if !server.HasAccounts() {
			continue
		}
		if name, below := strings.CutPrefix(path, server.Path+"/"); below {
			return server.ForAccount(name)
		}
	}
	return nil
}

// resolveAccounts checks and completes how many accounts a person can have.
func (a *Auth) resolveAccounts(path string) error {
	switch {
	case a.Accounts == "" && a.MaxAccounts != nil:
		return Errorf(path+".max_accounts", "goes with accounts several; set that too, or remove it")
	case a.Accounts == "":
	case a.Accounts != SeveralAccounts:
		return Errorf(path+".accounts", "%q is not several; leave it out for one account of each person", a.Accounts)
	case !a.Mode.PerUser():
		return Errorf(path+".accounts", "is for per_user_oauth and per_user_headers, where each person connects on their own; remove it")
	case a.MaxAccounts == nil:
		a.MaxAccounts = new(int)
		*a.MaxAccounts = defaultMaxAccounts
	case *a.MaxAccounts < 1 || *a.MaxAccounts > mostAccounts:
		return Errorf(path+".max_accounts", "must be from 1 to %d", mostAccounts)
	}
	a.ExpectDomain = slices.Clone(a.ExpectDomain)
	for i, domain := range a.ExpectDomain {
		plain, ok := identity.PlainDomain(domain)
		if !ok {
			return Errorf(path+".expect_domain", "%q is not a domain; write it as example.com, and one in other letters as xn--…", domain)
		}
		a.ExpectDomain[i] = plain
	}
	return nil
}

// checkAccountPaths keeps what is below the path of a server with accounts for them.
func checkAccountPaths(s *Site, i int) error {
	server, path := s.Servers[i], Index("servers", i)
	if !server.HasAccounts() {
		return nil
	}
	if server.Path == "/" {
		return Errorf(path+".auth.accounts", "accounts have paths behind that of the server, and / has everything behind it; give the server a path such as /mcp")
	}
	for j, other := range s.Servers {
		if strings.HasPrefix(other.Path, server.Path+"/") {
			return Errorf(Index("servers", j)+".path", "%s could be the path of an account at server %s, which has several; choose a path that is not below %s", other.Path, server.ID, server.Path)
		}
		if other.Auth != nil && strings.HasPrefix(other.Auth.CallbackPath, server.Path+"/") {
			return Errorf(Index("servers", j)+".auth.callback_path", "%s could be the path of an account at server %s, which has several; choose a path that is not below %s", other.Auth.CallbackPath, server.ID, server.Path)
		}
	}
	return nil
}

// AuthHeader is a request header with a key that a person pastes.
type AuthHeader struct {
	// Name is the name of the header, such as `X-API-Key`.
	Name string `json:"name"`
	// Prefix stands before the key, such as `Bearer ` with its space. Default: none.
	Prefix string `json:"prefix,omitempty"`
	// Label is what people are asked for. Default: the name of the header.
	Label string `json:"label,omitempty"`
}

func (a *Auth) resolvePasted(path string) error {
	if field := a.firstSet(func(name string) bool {
		return !slices.Contains(pastedFields, name) && !slices.Contains(commonFields, name)
	}); field != "" {
		return Errorf(path+"."+field, "is for auth oauth and per_user_oauth only; remove it")
	}
	if len(a.Headers) == 0 {
		a.Headers = []AuthHeader{{Name: "Authorization", Prefix: "Bearer ", Label: "API key"}}
	}
	a.Headers = slices.Clone(a.Headers)
	for i := range a.Headers {
		header, field := &a.Headers[i], Index(path+".headers", i)
		if err := checkUpstreamHeader(field, header.Name); err != nil {
			return err
		}
		header.Name = http.CanonicalHeaderKey(header.Name)
		if !httpguts.ValidHeaderFieldValue(header.Prefix) {
			return Errorf(field, "%s: the prefix has characters a header cannot have", header.Name)
		}
		if slices.ContainsFunc(a.Headers[:i], func(other AuthHeader) bool { return headers.Fold(other.Name) == headers.Fold(header.Name) }) {
			return Errorf(field, "%s is listed twice; remove one", header.Name)
		}
		header.Label = cmp.Or(header.Label, header.Name)
	}
	return nil
}

// credentialHeaders are the headers that carry the credential.
func (a *Auth) credentialHeaders() []string {
	if a.Mode != PerUserHeaders {
		return []string{"Authorization"}
	}
	names := make([]string, len(a.Headers))
	for i, h := range a.Headers {
		names[i] = h.Name
	}
	return names
}

// checkTakenHeaders refuses headers that would replace the credential.
func (s *Server) checkTakenHeaders(path string) error {
	for _, credential := range s.Auth.credentialHeaders() {
		for name := range s.Headers {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".headers."+name, "the header %s carries the connected account; remove it from headers", credential)
			}
		}
		for _, name := range s.proxyHeaders() {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".reverse_proxy", "header_up %s has no effect, since the header carries the connected account; remove it", name)
			}
		}
		if headers.Fold(s.IdentityJWT) == headers.Fold(credential) {
			return Errorf(path+".identity_jwt", "the header %s carries the connected account; use another name, such as X-Identity", credential)
		}
		for name := range s.IdentityHeaders {
			if headers.Fold(name) == headers.Fold(credential) {
				return Errorf(path+".identity_headers."+name, "the header %s carries the connected account; remove the identity_header", credential)
			}
		}
	}
	return nil
}
