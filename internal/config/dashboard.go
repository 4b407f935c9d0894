package config

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/guess"
)

// Dashboard is a web application of yours at which people sign in already, and
// which vouches for them with a signed JSON Web Token (JWT).
type Dashboard struct {
	// AuthorizeURL is the page of the dashboard to which people are sent: https,
	// or http on loopback. Required.
	AuthorizeURL string `json:"authorize_url,omitempty"`
	// Issuer is what the dashboard's JWTs have as `iss`. Required.
	Issuer string `json:"issuer,omitempty"`
	// Audience is what its JWTs for this site have as `aud`, and no others. Required.
	Audience string `json:"audience,omitempty"`
	// JWKSURI is where the dashboard publishes its public keys: https, or http on
	// loopback with `insecure_allow_loopback`. Keys that it rotates are found.
	// Required, unless there is PublicKey or Secret.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// PublicKey is the dashboard's public key instead, in PEM or as JWK set; a
	// placeholder such as `{file./etc/caddy/dashboard.pem}` keeps it in a file.
	// Default: none.
	PublicKey string `json:"public_key,omitempty"`
	// Secret is, instead, a placeholder for the secret of at least 32 characters
	// with which the dashboard signs (HS256). Whoever has it can be anybody here.
	// Default: none.
	Secret string `json:"secret,omitempty"`
	// Claims are the names of the claims that are kept of a JWT. `email` counts
	// as the person's verified address, unless `email_verified` is there and not
	// true. Default: none.
	Claims []string `json:"claims,omitempty"`
	// Allow are the rules that choose who may sign in; one that matches is enough:
	// `group:staff` of the claim `groups`, `domain:example.com` or
	// `email:jane@example.com` of `email`, and `claim:role=admin`. Default:
	// everybody for whom the dashboard vouches.
	Allow []string `json:"allow,omitempty"`
	// Recheck is how long what a person approved can be used without the dashboard
	// vouching for them again: when they sign in there for any client, or on the
	// account page. At least 1m. Default: 30d.
	Recheck Duration `json:"recheck,omitempty"`
	// Consent is where people approve: `here`, on the page of this site, or
	// `there`, on one that the dashboard has for it. Then clients are sent to
	// AuthorizeURL, and nobody else can sign in but with a virtual key that a
	// program has. Default: here.
	Consent string `json:"consent,omitempty"`

	// Trust is, once resolved, what its JWTs are verified by.
	Trust dashboard.Trust `json:"-"`
	// Rules are, once resolved, those of Allow.
	Rules *identity.Rules `json:"-"`
}

// Values of Dashboard.Consent.
const (
	ConsentHere  = "here"
	ConsentThere = "there"
)

// defaultDashboardRecheck is as long as clients go on without their person.
const defaultDashboardRecheck = 30 * Duration(day)

// minDashboardSecret is what RFC 7518 section 3.2 asks of a secret for HS256.
const minDashboardSecret = 32

// Dashboard returns the dashboard at which people sign in, or nil.
func (s *Site) Dashboard() *Dashboard {
	for _, id := range s.Identities {
		if id.Kind == identity.Dashboard {
			return id.Dashboard
		}
	}
	return nil
}

// ConsentElsewhere returns the dashboard on which people approve, or nil.
func (s *Site) ConsentElsewhere() *Dashboard {
	if d := s.Dashboard(); d != nil && d.Consent == ConsentThere {
		return d
	}
	return nil
}

// Origin returns the web origin of the dashboard.
func (d *Dashboard) Origin() string {
	u, err := url.Parse(d.AuthorizeURL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + JoinHostPort(strings.ToLower(u.Hostname()), u.Port(), u.Scheme)
}

// resolveDashboard resolves the options of identity dashboard.
func resolveDashboard(s *Site, path string, id *Identity, resolve Resolver) error {
	path += ".dashboard"
	if id.Dashboard == nil {
		return Errorf(path, "missing; write where people sign in, and what their JWTs are verified with: authorize_url, issuer, audience, jwks_uri")
	}
	d := *id.Dashboard
	id.Dashboard = &d
	if d.Consent == "" {
		d.Consent = ConsentHere
	}
	for _, check := range []func(*Site, string, *Dashboard) error{checkAuthorizeURL, checkDashboardIssuer, checkDashboardClaims, checkDashboardRecheck, checkConsent} {
		if err := check(s, path, &d); err != nil {
			return err
		}
	}
	var err error
	if d.Rules, err = identity.ParseRules(d.Allow); err != nil {
		return Errorf(path+".allow", "%v", err)
	}
	d.Trust = dashboard.Trust{Issuer: d.Issuer, Audience: d.Audience, Claims: d.keptClaims(s.needsOfServers())}
	return d.resolveKey(s, path, resolve)
}

func checkAuthorizeURL(s *Site, path string, d *Dashboard) error {
	path += ".authorize_url"
	u, err := url.Parse(d.AuthorizeURL)
	switch {
	case d.AuthorizeURL == "":
		return Errorf(path, "missing; write the page of the dashboard to which people are sent, such as https://app.example.com/oauth/authorize")
	case err != nil || !isSecureURL(d.AuthorizeURL) || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(d.AuthorizeURL, "{}"):
		return Errorf(path, "%q is not an https URL without query and fragment; write it as https://app.example.com/oauth/authorize", d.AuthorizeURL)
	case d.Origin() == s.Issuer && (reserved(u.Path) || s.OwnedPaths().Contains(u.Path)):
		return Errorf(path, "this page is the site's own; write the one of your dashboard")
	}
	return nil
}

func checkDashboardIssuer(s *Site, path string, d *Dashboard) error {
	switch {
	case d.Issuer == "":
		return Errorf(path+".issuer", "missing; write what the JWTs of the dashboard have as iss")
	case d.Issuer == s.Issuer:
		return Errorf(path+".issuer", "this is the issuer of the site's own tokens; let the dashboard have another iss, such as its own address")
	case d.Audience == "":
		return Errorf(path+".audience", "missing; write what the JWTs for this site have as aud, and none for something else")
	case s.isResource(d.Audience):
		return Errorf(path+".audience", "this is the audience of the site's own tokens; let the dashboard write another aud into its JWTs")
	}
	return nil
}

// isResource reports whether a text names this site or one of its servers.
func (s *Site) isResource(text string) bool {
	return slices.ContainsFunc(s.Servers, func(server *Server) bool { return server.Resource != "" && server.Resource == text })
}

func checkDashboardClaims(_ *Site, path string, d *Dashboard) error {
	for i, name := range d.Claims {
		at := Index(path+".claims", i)
		switch {
		case name == "" || dashboard.Registered(name):
			return Errorf(at, "%q is not one to keep: every JWT has it; remove it", name)
		case slices.Contains(d.Claims[:i], name):
			return Errorf(at, "%s is listed twice; remove one", name)
		}
	}
	return nil
}

// keptClaims are those that are asked for, and those that rules are about: its own,
// and those of servers.
func (d *Dashboard) keptClaims(needs identity.Needs) []string {
	needs.Add(d.Rules.Needs())
	kept := slices.Concat(d.Claims, needs.Claims)
	if needs.Email {
		kept = append(kept, "email")
	}
	if needs.Groups {
		kept = append(kept, "groups")
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

func checkDashboardRecheck(_ *Site, path string, d *Dashboard) error {
	if d.Recheck != 0 && time.Duration(d.Recheck) < time.Minute {
		return Errorf(path+".recheck", "must be at least 1m")
	}
	d.Recheck = cmp.Or(d.Recheck, defaultDashboardRecheck)
	return nil
}

// checkConsent refuses what clients could not find: metadata has one
// authorization endpoint.
func checkConsent(s *Site, path string, d *Dashboard) error {
	path += ".consent"
	if d.Consent != ConsentHere && d.Consent != ConsentThere {
		return Errorf(path, "%q is neither here nor there; write `consent here` for the consent page of this site, or leave it out", d.Consent)
	}
	if d.Consent == ConsentHere {
		return nil
	}
	for _, other := range s.Identities {
		if other.Kind != identity.Dashboard && other.Kind != identity.VirtualKey {
			return Errorf(path, "with `consent there` all clients send people to the dashboard, so nobody could sign in with identity %s; remove it, or write `consent here`", other.Kind)
		}
	}
	return nil
}

func (d *Dashboard) resolveKey(s *Site, path string, resolve Resolver) error {
	ways := 0
	for _, value := range []string{d.JWKSURI, d.PublicKey, d.Secret} {
		if value != "" {
			ways++
		}
	}
	switch {
	case ways == 0:
		return Errorf(path, "nothing could verify its JWTs; add jwks_uri, public_key, or secret")
	case ways > 1:
		return Errorf(path, "more than one way to verify its JWTs; keep one of jwks_uri, public_key, secret")
	case d.Secret != "":
		return d.resolveSecret(path+".secret", resolve)
	case d.PublicKey != "":
		return d.resolvePublicKey(path+".public_key", resolve)
	}
	d.Trust.JWKSURI = d.JWKSURI
	if !isSecureURL(d.JWKSURI) || strings.ContainsAny(d.JWKSURI, "{}") || strings.HasPrefix(d.JWKSURI, "http:") && !s.InsecureAllowLoopback {
		return Errorf(path+".jwks_uri", "%q is not an https URL; write it as https://app.example.com/jwks.json (http on loopback needs insecure_allow_loopback)", d.JWKSURI)
	}
	return nil
}

func (d *Dashboard) resolveSecret(path string, resolve Resolver) error {
	if IsPlain(d.Secret) {
		return Errorf(path, "the secret must not be in the configuration; write a placeholder such as {env.DASHBOARD_SECRET} ({$NAME} puts the secret itself there)")
	}
	text, known, err := resolve(d.Secret)
	switch {
	case err != nil:
		return Errorf(path, "%v", err)
	case !known:
		return nil
	case len(text) < minDashboardSecret:
		return Errorf(path, "the secret is too short; use at least %d random characters: %s", minDashboardSecret, makeOne)
	case guess.Easy(text):
		return Errorf(path, "the secret is easy to guess; %s", makeOne)
	}
	d.Trust.Secret = []byte(text)
	return nil
}

func (d *Dashboard) resolvePublicKey(path string, resolve Resolver) error {
	text, known, err := resolve(d.PublicKey)
	if err != nil {
		return Errorf(path, "%v", err)
	}
	if !known {
		return nil
	}
	set := text
	if block, rest := pem.Decode([]byte(text)); block != nil {
		if block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
			return Errorf(path, "it is not one public key in PEM (BEGIN PUBLIC KEY); make it with `openssl pkey -in private.pem -pubout`")
		}
		if set, err = keySetOf(block.Bytes); err != nil {
			return Errorf(path, "the public key cannot be read; make it with `openssl pkey -in private.pem -pubout`")
		}
	}
	if d.Trust.Keys, err = dashboard.ParseKeys(set); err != nil {
		return Errorf(path, "it is neither a public key in PEM nor a JWK set with one, P-256, P-384, Ed25519 or RSA of at least 2048 bits (%v)", err)
	}
	return nil
}

// keySetOf returns the JWK set with a key in PKIX form.
func keySetOf(der []byte) (string, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return "", err
	}
	jwk, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	return `{"keys":[` + string(jwk) + `]}`, err
}
