package config

import (
	"crypto/x509"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/workload"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Workload is another system that vouches for programs with signed JSON Web Tokens
// (JWTs): GitHub Actions, Kubernetes, SPIFFE and the like. A program exchanges such a
// token for a short access token of this site, as a person of its own.
type Workload struct {
	// Name tells the trust from others, in what servers and logs call its programs:
	// letters, digits, `-` and `.`. Keep it, for what is connected for the programs is
	// theirs by it.
	Name string `json:"name"`
	// Issuer is what the tokens have as `iss`, byte for byte: an https URL or, with
	// JWKSURI or JWKS, any text. Or it is a trust domain of SPIFFE, such as
	// `spiffe://example.org`, to which the `sub` of the tokens must belong.
	Issuer string `json:"issuer"`
	// Audience must be in the `aud` of the tokens. Default: the URL of this site.
	Audience string `json:"audience,omitempty"`
	// JWKSURI is where the issuer publishes its keys: https, or http on loopback with
	// `insecure_allow_loopback`. Default: where the metadata of the issuer says.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// JWKS are the keys themselves instead, for an issuer that this site cannot reach:
	// a JWK set, or a placeholder such as `{file./etc/caddy/cluster.jwks}`. Default:
	// none.
	JWKS string `json:"jwks,omitempty"`
	// CA are the certificate authorities, in PEM, by which the hosts of issuer and keys
	// are trusted in place of those of this machine; a placeholder such as
	// `{file./etc/caddy/cluster-ca.crt}` keeps them in a file. Default: none.
	CA string `json:"ca,omitempty"`
	// Allow are the rules that say whom of the issuer this is about:
	// `claim:<name>=<value>`. Each claim that is named must have one of the values that
	// are listed for it; a value that ends in `/*` or `:*` stands for all that begin
	// so. Required, and it must say whose programs are meant.
	Allow []string `json:"allow,omitempty"`
	// NameClaim is the claim that tells one program from another: those that have it
	// alike are one person here. Default: `sub`.
	NameClaim string `json:"name_claim,omitempty"`
	// MaxAge is how long ago a token may have been made. Default: 1h.
	MaxAge Duration `json:"max_age,omitempty"`
	// Servers are the ids of the MCP servers that the programs may use. Default: all
	// that are not for some people only.
	Servers []string `json:"servers,omitempty"`
	// Lifetime is that of their access tokens, at most 10m. Default: 10m, or
	// `access_token_lifetime` if that is shorter.
	Lifetime Duration `json:"lifetime,omitempty"`

	trust workload.Trust
}

const defaultWorkloadMaxAge = Duration(time.Hour)

var claimPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

// resolveWorkload resolves the options of identity workload.
func resolveWorkload(s *Site, path string, id *Identity, resolve Resolver) error {
	path += ".workload"
	if id.Workload == nil {
		return Errorf(path, "missing; write the name of the trust, the issuer of the tokens, and whom of it to allow")
	}
	w := *id.Workload
	id.Workload = &w
	if !providerName.MatchString(w.Name) {
		return Errorf(path+".name", "%q is not a name; use letters, digits, - and .", w.Name)
	}
	if slices.ContainsFunc(s.Identities, func(other Identity) bool {
		return other.Workload != nil && other.Workload != &w && other.Workload.Name == w.Name
	}) {
		return Errorf(path+".name", "another identity workload is called %s; give each its own name", w.Name)
	}
	for _, step := range []func(*Site, string, Resolver) error{w.resolveIssuer, w.resolveKeys, w.resolveRules, w.resolveLimits} {
		if err := step(s, path, resolve); err != nil {
			return err
		}
	}
	return nil
}

func (w *Workload) resolveIssuer(s *Site, path string, resolve Resolver) error {
	known, err := resolve.replace(path+".issuer", &w.Issuer)
	switch {
	case err != nil:
		return err
	case w.Issuer == "":
		return Errorf(path+".issuer", "missing; write what the tokens have as iss, such as https://token.actions.githubusercontent.com")
	case !known:
		return nil
	case s.Issuer != "" && w.Issuer == s.Issuer:
		return Errorf(path+".issuer", "this is the issuer of the site's own tokens; write the one of the other system")
	case !oauth.VisibleASCII(w.Issuer):
		return Errorf(path+".issuer", "%q has characters that no issuer has", w.Issuer)
	}
	if err := workload.CheckTrustDomain(w.Issuer); err != nil {
		return Errorf(path+".issuer", "%v", err)
	}
	hasKeys := w.JWKSURI != "" || w.JWKS != ""
	switch {
	case hasKeys:
	case workload.IsTrustDomain(w.Issuer):
		return Errorf(path, "the keys of a trust domain are nowhere by themselves; add jwks_uri or jwks")
	case !isSecureURL(w.Issuer) || strings.Contains(w.Issuer, "?") || strings.HasPrefix(w.Issuer, "http:") && !s.InsecureAllowLoopback:
		return Errorf(path+".issuer", "%q is not an https URL at which the keys could be found; write it as https://issuer.example.com, or add jwks_uri or jwks (http on loopback needs insecure_allow_loopback)", w.Issuer)
	}
	return nil
}

func (w *Workload) resolveKeys(s *Site, path string, resolve Resolver) error {
	switch {
	case w.JWKSURI != "" && w.JWKS != "":
		return Errorf(path, "more than one way to verify its tokens; keep one of jwks_uri, jwks")
	case w.JWKS != "" && w.CA != "":
		return Errorf(path+".ca", "nothing is fetched where the keys are in jwks; remove it")
	}
	if w.JWKSURI != "" && (!isSecureURL(w.JWKSURI) || strings.ContainsAny(w.JWKSURI, "{}") || strings.HasPrefix(w.JWKSURI, "http:") && !s.InsecureAllowLoopback) {
		return Errorf(path+".jwks_uri", "%q is not an https URL; write it as https://issuer.example.com/keys (http on loopback needs insecure_allow_loopback)", w.JWKSURI)
	}
	w.trust = workload.Trust{JWKSURI: w.JWKSURI}
	if w.JWKS != "" {
		if err := w.readKeys(path+".jwks", resolve); err != nil {
			return err
		}
	}
	if w.CA == "" {
		return nil
	}
	text, known, err := resolve(w.CA)
	if err != nil {
		return Errorf(path+".ca", "%v", err)
	}
	if w.trust.RootCAs = x509.NewCertPool(); known && !w.trust.RootCAs.AppendCertsFromPEM([]byte(text)) {
		return Errorf(path+".ca", "there is no certificate in PEM in it; a placeholder such as {file./etc/caddy/ca.crt} reads it from a file")
	}
	return nil
}

// readKeys reads JWKS: the keys themselves, which look like a placeholder, or one.
func (w *Workload) readKeys(path string, resolve Resolver) error {
	text, known := w.JWKS, true
	if _, is := placeholderName(w.JWKS); is {
		var err error
		if text, known, err = resolve(w.JWKS); err != nil {
			return Errorf(path, "%v", err)
		}
	}
	if !known {
		return nil
	}
	var err error
	if w.trust.Keys, err = workload.ParseKeys(text); err != nil {
		return Errorf(path, "it is not a JWK set with a public key that could verify tokens (%v); of Kubernetes, `kubectl get --raw /openid/v1/jwks` prints it", err)
	}
	return nil
}

func (w *Workload) resolveRules(_ *Site, path string, _ Resolver) error {
	var err error
	if w.trust.Rules, err = workload.ParseRules(w.Issuer, w.Allow); err != nil {
		return Errorf(path+".allow", "%v", err)
	}
	if w.NameClaim == "" {
		w.NameClaim = workload.DefaultNameClaim
	}
	if !claimPattern.MatchString(w.NameClaim) {
		return Errorf(path+".name_claim", "%q is not the name of a claim", w.NameClaim)
	}
	return nil
}

func (w *Workload) resolveLimits(s *Site, path string, _ Resolver) error {
	if err := resolveDuration(path+".max_age", &w.MaxAge, defaultWorkloadMaxAge, time.Minute, day); err != nil {
		return err
	}
	if err := resolveDuration(path+".lifetime", &w.Lifetime, defaultServiceLifetime, time.Second, time.Duration(defaultServiceLifetime)); err != nil {
		return err
	}
	if w.Audience == "" {
		w.Audience = s.Issuer
	}
	return s.checkServerIDs(path+".servers", w.Servers)
}

// Trust returns what the site trusts the issuer for.
func (w *Workload) Trust() workload.Trust {
	t := w.trust
	t.Name, t.Issuer, t.Audience, t.NameClaim = w.Name, w.Issuer, w.Audience, w.NameClaim
	t.MaxAge, t.Servers, t.Lifetime = time.Duration(w.MaxAge), w.Servers, time.Duration(w.Lifetime)
	return t
}
