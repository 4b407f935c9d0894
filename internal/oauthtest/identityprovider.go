package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Paths of an IdentityProvider.
const (
	OpenIDConfigurationPath = "/.well-known/openid-configuration"
	JWKSPath                = "/jwks"
	UserinfoPath            = "/userinfo"
	EndSessionPath          = "/logout"
)

// IdentityProvider is an OpenID Connect provider. It lets in whoever is signed in
// there, without asking, and gives out ID tokens about them. What it gives out can
// be changed by a test; each page can be replaced, see [Host.Page].
//
// Fields are set before the first request, or in Change.
type IdentityProvider struct {
	*Host
	Now func() time.Time
	// ClientID is the only client that it knows, with any secret.
	ClientID string
	// Sub is who is signed in there. Nobody is: the person declines.
	Sub string
	// People have the claims of people, by their sub: in ID tokens and at UserinfoPath.
	People map[string]Object
	// UserinfoOnly has only UserinfoPath tell more than the sub.
	UserinfoOnly bool
	// Answer changes what a browser is sent back with, if set.
	Answer func(url.Values)
	// Claims changes the claims of an ID token, if set.
	Claims func(Object)
	// Sign makes the ID token of claims. Default: Signed.
	Sign func(Object) string
	// Tokens changes the answer of the token endpoint, if set.
	Tokens func(Object)

	mu       sync.Mutex
	key      *ecdsa.PrivateKey
	n        int
	codes    map[string]login
	access   map[string]login
	refresh  map[string]login
	disabled map[string]bool
}

// login is an authorization request that was let through.
type login struct {
	sub, nonce, challenge, redirectURI string
}

// NewIdentityProvider starts a provider at which jane is signed in. It is closed
// when the test ends.
func NewIdentityProvider(t testing.TB) *IdentityProvider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &IdentityProvider{
		Host: NewHost(t), Now: time.Now, ClientID: "gateway", Sub: "jane", key: key,
		People: map[string]Object{"jane": {
			"name": "Jane Doe", "preferred_username": "jane", "email": "jane@example.com", "email_verified": true, "groups": []string{"staff"},
		}},
		codes: map[string]login{}, access: map[string]login{}, refresh: map[string]login{}, disabled: map[string]bool{},
	}
	p.Page(OpenIDConfigurationPath, Document(p.Metadata()))
	p.Page(JWKSPath, Document(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.PublicKey()}}))
	p.Page(AuthorizePath, p.authorize)
	p.Page(TokenPath, p.token)
	p.Page(UserinfoPath, p.userinfo)
	return p
}

// Metadata returns what the provider says about itself.
func (p *IdentityProvider) Metadata() Object {
	return Object{
		"issuer":                                p.URL,
		"authorization_endpoint":                p.URL + AuthorizePath,
		"token_endpoint":                        p.URL + TokenPath,
		"userinfo_endpoint":                     p.URL + UserinfoPath,
		"end_session_endpoint":                  p.URL + EndSessionPath,
		"jwks_uri":                              p.URL + JWKSPath,
		"scopes_supported":                      []string{"openid", "profile", "email", "groups", "offline_access"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		"code_challenge_methods_supported":      []string{"S256"},
	}
}

// PublicKey returns what its signatures are verified with.
func (p *IdentityProvider) PublicKey() jose.JSONWebKey {
	return jose.JSONWebKey{Key: p.key.Public(), KeyID: "idp", Algorithm: string(jose.ES256), Use: "sig"}
}

// Change changes fields while requests are on their way.
func (p *IdentityProvider) Change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Disable has a person be let in no more, and nothing be renewed for them.
func (p *IdentityProvider) Disable(sub string) { p.Change(func() { p.disabled[sub] = true }) }

func (p *IdentityProvider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	request := r.URL.Query()
	answer := url.Values{"state": request["state"], "iss": {p.URL}}
	if p.Sub == "" || p.disabled[p.Sub] {
		answer.Set("error", "access_denied")
		answer.Set("error_description", Canary)
	} else {
		code := p.next("code")
		p.codes[code] = login{p.Sub, request.Get("nonce"), request.Get("code_challenge"), request.Get("redirect_uri")}
		answer.Set("code", code)
	}
	if p.Answer != nil {
		p.Answer(answer)
	}
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

// next returns a new name. p.mu is held.
func (p *IdentityProvider) next(kind string) string {
	p.n++
	return fmt.Sprintf("%s-%d", kind, p.n)
}

func (p *IdentityProvider) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.claim(r.PostForm)
	if !ok || p.disabled[l.sub] {
		Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant","error_description":"`+Canary+`"}`)(w, r)
		return
	}
	tokens := Object{"access_token": p.next("at"), "token_type": "Bearer", "expires_in": 300, "refresh_token": p.next("rt")}
	p.access[tokens["access_token"].(string)], p.refresh[tokens["refresh_token"].(string)] = l, l
	tokens["id_token"] = p.idToken(l)
	if p.Tokens != nil {
		p.Tokens(tokens)
	}
	Document(tokens)(w, r)
}

// claim uses up a code or a refresh token. p.mu is held.
func (p *IdentityProvider) claim(form url.Values) (login, bool) {
	if form.Get("grant_type") == "refresh_token" {
		l, ok := p.refresh[form.Get("refresh_token")]
		delete(p.refresh, form.Get("refresh_token"))
		l.nonce = ""
		return l, ok
	}
	l, ok := p.codes[form.Get("code")]
	delete(p.codes, form.Get("code"))
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	return l, ok && l.challenge == base64.RawURLEncoding.EncodeToString(sum[:]) && l.redirectURI == form.Get("redirect_uri")
}

// idToken returns an ID token for a login. p.mu is held.
func (p *IdentityProvider) idToken(l login) string {
	claims := p.Issued(l.sub)
	if l.nonce != "" {
		claims["nonce"] = l.nonce
	}
	if !p.UserinfoOnly {
		maps.Copy(claims, p.People[l.sub])
	}
	if p.Claims != nil {
		p.Claims(claims)
	}
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	if p.Sign != nil {
		return p.Sign(claims)
	}
	return p.Signed(claims)
}

// Issued returns what is in every ID token and logout token about somebody.
func (p *IdentityProvider) Issued(sub string) Object {
	now := p.Now()
	return Object{
		"iss": p.URL, "sub": sub, "aud": p.ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": now.Unix(), "sid": "session-of-" + sub,
	}
}

// Signed returns claims as the provider signs them.
func (p *IdentityProvider) Signed(claims Object) string {
	return p.SignedAs("JWT", claims)
}

// SignedAs returns claims as the provider signs them, as another kind of token.
func (p *IdentityProvider) SignedAs(typ string, claims Object) string {
	return SignedJWT(jose.ES256, jose.JSONWebKey{Key: p.key, KeyID: "idp"}, typ, claims)
}

// LogoutToken returns a token that tells that somebody signed out, with changes.
func (p *IdentityProvider) LogoutToken(sub string, changes Object) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := p.Issued(sub)
	delete(claims, "auth_time")
	claims["jti"] = p.next("jti")
	claims["events"] = Object{"http://schemas.openid.net/event/backchannel-logout": Object{}}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return p.SignedAs("logout+jwt", claims)
}

// SignedJWT returns claims, signed.
func SignedJWT(alg jose.SignatureAlgorithm, key any, typ string, claims Object) string {
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func (p *IdentityProvider) userinfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok || p.disabled[l.sub] {
		Answer(http.StatusUnauthorized, "text/plain", Canary)(w, r)
		return
	}
	said := maps.Clone(p.People[l.sub])
	if said == nil {
		said = Object{}
	}
	said["sub"] = l.sub
	Document(said)(w, r)
}

// Logins returns the authorization requests that came.
func (p *IdentityProvider) Logins() []url.Values {
	var all []url.Values
	for _, r := range p.Requests(AuthorizePath) {
		all = append(all, r.URL.Query())
	}
	return all
}

// RefreshTokens returns those that are good, in order.
func (p *IdentityProvider) RefreshTokens() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.refresh))
}
