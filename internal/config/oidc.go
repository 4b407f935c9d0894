package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// OIDC is an OpenID Connect provider at which people sign in.
type OIDC struct {
	// Issuer is the provider's, exactly as it writes it: with or without a slash at
	// the end. https, or http on loopback.
	Issuer string `json:"issuer"`
	// Name tells the provider from others, in what servers and logs call people:
	// letters, digits, `-` and `.`. Default: the host of the issuer. Keep it when the
	// provider moves to another issuer: what people connected stays theirs. Give
	// another provider another name, for whoever has the same `sub` there would have
	// their accounts.
	Name string `json:"name,omitempty"`
	// Title is what people read: "Continue with" and this. Default: the host of the
	// issuer.
	Title string `json:"title,omitempty"`
	// ClientID is what the provider knows this site as. Register there, as redirect
	// URI, the URL of this site and `/oauth/login/callback/oidc-` with the name.
	// Required.
	ClientID string `json:"client_id,omitempty"`
	// ClientSecret belongs to ClientID: a placeholder such as `{env.OIDC_SECRET}`.
	// Default: none, for a public client.
	ClientSecret string `json:"client_secret,omitempty"`
	// AuthMethod is how this site authenticates at the token endpoint: one of
	// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `none`.
	// For `private_key_jwt`, the provider finds the public key, of ES256, at the URL
	// of this site and `/oauth/login/jwks/oidc-` with the name. Default: with
	// the secret, in the way that the provider supports; without one, `none`.
	AuthMethod string `json:"auth_method,omitempty"`
	// Scopes are asked of the provider, besides `openid`. Default: `profile`,
	// `email` if addresses are kept, and `groups` and `offline_access` if the
	// provider knows them: without the latter many give no refresh token to ask
	// about people with.
	Scopes []string `json:"scopes,omitempty"`
	// AuthorizeParams are further parameters of the authorization request. Default:
	// none.
	AuthorizeParams map[string]string `json:"authorize_params,omitempty"`
	// Allow are rules that choose who may sign in: `group:<name>`,
	// `domain:<domain of a verified e-mail address>`, `email:<verified address>`,
	// `claim:<name>=<value>`. One that matches is enough. Default: everybody whom
	// the provider lets in.
	Allow []string `json:"allow,omitempty"`
	// GroupsClaim is where groups are, such as `realm_access.roles`. Default:
	// `groups`.
	GroupsClaim string `json:"groups_claim,omitempty"`
	// Email says which e-mail addresses are kept: `verified` are those of which the
	// provider says so (`email_verified` is true); with `trusted` its word is not
	// needed, for providers that never give it and in which only administrators set
	// addresses. Default: none; with rules about addresses, `verified`.
	Email string `json:"email,omitempty"`
	// Claims are kept besides name, groups and address. Default: none.
	Claims []string `json:"claims,omitempty"`
	// MaxAge is how long ago people may have proved who they are, at the provider.
	// Default: no limit.
	MaxAge Duration `json:"max_age,omitempty"`
	// ACRValues are ways of proving that, one of which is demanded, such as with a
	// second factor. What they are called is up to the provider. Default: any.
	ACRValues []string `json:"acr_values,omitempty"`
	// Prompt is what the provider asks people at each login: `login`, `consent` or
	// `select_account`. Default: what it sees fit.
	Prompt string `json:"prompt,omitempty"`
	// Userinfo says whether the provider's UserInfo endpoint is asked. Default: if
	// the ID token lacks what is needed.
	Userinfo *bool `json:"userinfo,omitempty"`
	// Recheck is how often the provider is asked again about people who are signed
	// in, if it gave a refresh token. Default: 15m.
	Recheck Duration `json:"recheck,omitempty"`

	options oidc.Options
}

const (
	defaultOIDCRecheck = Duration(15 * time.Minute)
	// LoginKeysPath starts the paths of the keys of private_key_jwt.
	LoginKeysPath = "/oauth/login/jwks/"
)

var (
	providerName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)
	emailPolicies = []string{string(oidc.VerifiedEmail), string(oidc.TrustedEmail)}
	prompts       = []string{"login", "consent", "select_account"}
	// oidcParams are parameters of an authorization request that have options of
	// their own, or are ours alone.
	oidcParams = []string{"nonce", "prompt", "max_age", "acr_values"}
)

// resolveOIDC resolves the options of identity oidc.
func resolveOIDC(s *Site, path string, id *Identity, resolve Resolver) error {
	path += ".oidc"
	if id.OIDC == nil {
		return Errorf(path, "missing; write the issuer of the provider, and the client_id that it gave this site")
	}
	o := *id.OIDC
	id.OIDC = &o
	known, err := o.resolveIssuer(s, path, resolve)
	if err != nil {
		return err
	}
	if err := o.resolveClient(path, resolve); err != nil {
		return err
	}
	for _, check := range []func(string) error{o.checkName, o.checkRequest, o.checkClaims} {
		if err := check(path); err != nil {
			return err
		}
	}
	rules, err := identity.ParseRules(o.Allow)
	if err != nil {
		return Errorf(path+".allow", "%v", err)
	}
	if o.Recheck == 0 {
		o.Recheck = defaultOIDCRecheck
	}
	o.options = oidc.Options{
		Name: o.Name, Title: o.Title, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, AuthMethod: o.AuthMethod,
		Scopes: o.Scopes, AuthorizeParams: o.AuthorizeParams, Allow: rules, GroupsClaim: o.GroupsClaim, Email: oidc.EmailPolicy(o.Email), Claims: o.Claims,
		MaxAge: time.Duration(o.MaxAge), ACRValues: o.ACRValues, Prompt: o.Prompt, Recheck: time.Duration(o.Recheck), Userinfo: o.Userinfo,
	}
	if known {
		return s.checkOtherProviders(path, &o)
	}
	return nil
}

// resolveIssuer checks the issuer, and takes a name from it if there is none.
func (o *OIDC) resolveIssuer(s *Site, path string, resolve Resolver) (known bool, err error) {
	path += ".issuer"
	if o.Issuer == "" {
		return false, Errorf(path, "missing; write the issuer of the provider, such as https://login.example.com")
	}
	if known, err = resolve.replace(path, &o.Issuer); !known || err != nil {
		return known, err
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || !isSecureURL(o.Issuer) || u.RawQuery != "" || u.ForceQuery || !oauth.VisibleASCII(o.Issuer) {
		return true, Errorf(path, "%q is not an https URL without query and fragment; write it as https://login.example.com (http is for loopback only)", o.Issuer)
	}
	if strings.HasSuffix(u.Path, oauth.OpenIDConfigurationPath) {
		return true, Errorf(path, "leave out %s: the issuer is what comes before it", oauth.OpenIDConfigurationPath)
	}
	if s.Issuer != "" && strings.TrimSuffix(o.Issuer, "/") == s.Issuer {
		return true, Errorf(path, "this is this site itself; write the issuer of the provider at which people sign in")
	}
	if o.Name == "" {
		o.Name = strings.Trim(strings.Map(func(r rune) rune {
			if providerName.MatchString(string(r)) || r == '.' || r == '-' {
				return r
			}
			return '-'
		}, strings.ToLower(u.Hostname())), ".-")
	}
	return true, checkEntraIssuer(path, u)
}

// checkEntraIssuer refuses what looks like an issuer of Microsoft Entra, and is
// none: people of all tenants would share it, and each ID token names its own.
func checkEntraIssuer(path string, u *url.URL) error {
	if !slices.Contains([]string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}, strings.ToLower(u.Host)) {
		return nil
	}
	tenant, version, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if slices.Contains([]string{"", "common", "organizations", "consumers"}, strings.ToLower(tenant)) {
		return Errorf(path, "each tenant of Entra has its own issuer; write that of yours, https://%s/<tenant id>/v2.0, and once more with another name for each further one", u.Host)
	}
	if version != "v2.0" {
		return Errorf(path, "write https://%s/%s/v2.0, which is the issuer that Entra has for OpenID Connect", u.Host, tenant)
	}
	return nil
}

// checkOtherProviders refuses two providers that would be taken for each other.
func (s *Site) checkOtherProviders(path string, o *OIDC) error {
	for _, other := range s.Identities {
		if other.OIDC == nil || other.OIDC == o || other.OIDC.options.Name == "" {
			continue
		}
		if strings.EqualFold(other.OIDC.Name, o.Name) {
			return Errorf(path, "there is another identity oidc with the name %s; give each one a name of its own: `name <text>` in its block", o.Name)
		}
	}
	return nil
}

func (o *OIDC) resolveClient(path string, resolve Resolver) error {
	if o.ClientID == "" {
		return Errorf(path+".client_id", "missing; register this site at the provider, and write the client_id that it gave")
	}
	if o.ClientSecret != "" && IsPlain(o.ClientSecret) {
		return Errorf(path+".client_secret", "the secret must not be in the configuration; write a placeholder such as {env.OIDC_SECRET} ({$NAME} puts the secret itself there)")
	}
	for _, v := range []struct {
		name  string
		value *string
	}{{"client_id", &o.ClientID}, {"client_secret", &o.ClientSecret}} {
		known, err := resolve.replace(path+"."+v.name, v.value)
		if err != nil {
			return err
		}
		if known && strings.TrimSpace(*v.value) != *v.value {
			return Errorf(path+"."+v.name, "starts or ends with white space; remove that")
		}
	}
	return checkAuthMethod(path+".auth_method", o.AuthMethod, o.ClientSecret)
}

func (o *OIDC) checkName(path string) error {
	if o.Name != "" && !providerName.MatchString(o.Name) {
		return Errorf(path+".name", "%q is not a name; use letters, digits, - and .", o.Name)
	}
	if clean, err := identity.CleanName(o.Title); o.Title != "" && (err != nil || clean != o.Title || len(o.Title) > 60) {
		return Errorf(path+".title", "%q is not a title; use 1 to 60 visible characters, without space at the ends", o.Title)
	}
	return nil
}

// checkRequest checks what is asked of the provider.
func (o *OIDC) checkRequest(path string) error {
	for _, scope := range o.Scopes {
		if err := checkScope(path+".scopes", scope); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.AuthorizeParams)) {
		if name == "" || slices.Contains(reservedParams, strings.ToLower(name)) || slices.Contains(oidcParams, strings.ToLower(name)) {
			return Errorf(path+".authorize_params."+name, "%s is set by this site, or has an option of its own; remove it", name)
		}
	}
	for _, value := range o.ACRValues {
		if !oauth.VisibleASCII(value) || value == "" {
			return Errorf(path+".acr_values", "%q is not one; write each by itself, with a space between", value)
		}
	}
	if o.Prompt != "" && !slices.Contains(prompts, o.Prompt) {
		return Errorf(path+".prompt", "unknown value %q%s", o.Prompt, Choice(o.Prompt, prompts))
	}
	if o.Recheck != 0 && time.Duration(o.Recheck) < time.Minute {
		return Errorf(path+".recheck", "must be at least 1m")
	}
	if o.MaxAge != 0 && time.Duration(o.MaxAge) < time.Second {
		return Errorf(path+".max_age", "must be at least 1s")
	}
	return nil
}

func (o *OIDC) checkClaims(path string) error {
	if o.Email != "" && !slices.Contains(emailPolicies, o.Email) {
		return Errorf(path+".email", "unknown value %q%s", o.Email, Choice(o.Email, emailPolicies))
	}
	for i, name := range o.Claims {
		if name == "" || slices.Contains(o.Claims[:i], name) {
			return Errorf(path+".claims", "%q is listed twice, or empty; remove it", name)
		}
	}
	return nil
}
