package oauthtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
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

// OIDCProvider is an identity provider on loopback with the discovery document
// and the tokens of one that people use. Browsers are signed in to the account
// that AccountHeader names.
//
// Fields are set before the first request, or in Change.
type OIDCProvider struct {
	// Issuer is the address that an operator writes.
	Issuer string
	// Moved are the addresses on loopback, by those that the document has.
	Moved                  map[string]string
	ClientID, ClientSecret string
	People                 map[string]OIDCPerson
	// Now is the time, by which tokens are issued.
	Now func() time.Time
	// Claims changes the claims of an id_token, if set.
	Claims func(Object)
	// Outage is what all requests are answered with, if set.
	Outage http.HandlerFunc

	shape *oidcShape
	hosts []*Host
	key   jose.SigningKey

	mu      sync.Mutex
	issued  int
	codes   map[string]oidcGrant
	access  map[string]oidcGrant
	refresh map[string]oidcGrant
}

// oidcGrant is what a person's login is about.
type oidcGrant struct {
	account, nonce, challenge, redirectURI, sid string
	scopes                                      []string
	offline                                     bool
	authTime                                    time.Time
}

var oidcKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// NewOIDCProvider starts an identity provider of that shape. Each origin of its
// document is a host of its own. It is closed when the test ends.
func NewOIDCProvider(t testing.TB, shape string) *OIDCProvider {
	t.Helper()
	s := readOIDCShape(t, shape)
	p := &OIDCProvider{
		Moved: map[string]string{}, ClientID: "mcp", ClientSecret: "secret-of-the-client", Now: time.Now,
		shape: s, People: s.People,
		key:   jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: oidcKey(), KeyID: "key-1"}},
		codes: map[string]oidcGrant{}, access: map[string]oidcGrant{}, refresh: map[string]oidcGrant{},
	}
	byOrigin := map[string]*Host{}
	for _, origin := range origins(s.Document) {
		h := NewHost(t)
		byOrigin[origin], p.Moved[origin] = h, h.URL
		p.hosts = append(p.hosts, h)
	}
	if s.At == "" {
		s.At, _ = s.Document["issuer"].(string)
	}
	p.Issuer = moved(s.At, p.Moved).(string)
	serve := func(at *url.URL, page http.HandlerFunc) {
		byOrigin[at.Scheme+"://"+at.Host].Page(at.Path, p.unlessOut(page))
	}
	discovery, err := url.Parse(strings.TrimSuffix(s.At, "/") + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	serve(discovery, func(w http.ResponseWriter, r *http.Request) { Document(moved(p.shape.Document, p.Moved))(w, r) })
	serve(s.endpoint(t, "authorization_endpoint"), p.authorize)
	serve(s.endpoint(t, "token_endpoint"), p.token)
	serve(s.endpoint(t, "userinfo_endpoint"), p.userinfo)
	serve(s.endpoint(t, "jwks_uri"), func(w http.ResponseWriter, r *http.Request) {
		Document(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &oidcKey().PublicKey, KeyID: "key-1", Algorithm: "RS256", Use: "sig"}}})(w, r)
	})
	return p
}

// Change changes fields while requests are on their way.
func (p *OIDCProvider) Change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Requests returns what was asked at the path of an endpoint.
func (p *OIDCProvider) Requests(t testing.TB, endpoint string) (all []Request) {
	t.Helper()
	for _, h := range p.hosts {
		all = append(all, h.Requests(p.shape.endpoint(t, endpoint).Path)...)
	}
	return all
}

// EndSessions makes the refresh tokens of an account worthless.
func (p *OIDCProvider) EndSessions(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.refresh, func(_ string, g oidcGrant) bool { return g.account == account })
}

func (p *OIDCProvider) unlessOut(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.Outage != nil {
			page = p.Outage
		}
		page(w, r)
	}
}

// authorize sends the browser back at once.
func (p *OIDCProvider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != p.ClientID || q.Get("response_type") != "code" || q.Get("redirect_uri") == "" {
		http.Error(w, "unknown client", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": q["state"]}
	if p.shape.AnswersIss {
		answer.Set("iss", p.Issuer)
	}
	scopes := strings.Fields(q.Get("scope"))
	account := r.Header.Get(AccountHeader)
	_, known := p.People[account]
	refused := slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(p.shape.RefusesScopes, scope) })
	switch {
	case refused || !slices.Contains(scopes, "openid"):
		answer.Set("error", "invalid_scope")
	case q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "":
		answer.Set("error", "invalid_request")
	case !known:
		answer.Set("error", "access_denied")
	default:
		p.issued++
		code := fmt.Sprintf("code-%d", p.issued)
		p.codes[code] = oidcGrant{
			account: account, nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), redirectURI: q.Get("redirect_uri"),
			sid: fmt.Sprintf("sid-%d", p.issued), scopes: scopes, offline: p.offline(q, scopes), authTime: p.Now(),
		}
		answer.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *OIDCProvider) offline(q url.Values, scopes []string) bool {
	needs := p.shape.RefreshToken
	for name, value := range needs.Parameters {
		if q.Get(name) != value {
			return false
		}
	}
	return needs.Always || needs.Parameters != nil || needs.Scope != "" && slices.Contains(scopes, needs.Scope)
}

func (p *OIDCProvider) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if !p.authenticated(r) {
		refuseToken(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var grant oidcGrant
	var ok bool
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		code := r.PostForm.Get("code")
		grant, ok = p.codes[code]
		delete(p.codes, code)
		challenge := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		ok = ok && base64.RawURLEncoding.EncodeToString(challenge[:]) == grant.challenge && r.PostForm.Get("redirect_uri") == grant.redirectURI
	case "refresh_token":
		spent := r.PostForm.Get("refresh_token")
		grant, ok = p.refresh[spent]
		grant.nonce = "" // none of these repeats it
		if p.shape.Rotates {
			delete(p.refresh, spent)
		}
	}
	if _, known := p.People[grant.account]; !ok || !known {
		refuseToken(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	Document(p.tokens(grant, r.PostForm.Get("grant_type") == "refresh_token"))(w, r)
}

func refuseToken(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, code, Canary)
}

// authenticated reports whether a request is from the client, by a method that
// the document has.
func (p *OIDCProvider) authenticated(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	method := "client_secret_basic"
	if !basic {
		id, secret, method = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), "client_secret_post"
	}
	offered, _ := p.shape.Document["token_endpoint_auth_methods_supported"].([]any)
	if p.shape.ClientAuth != "" {
		offered = []any{p.shape.ClientAuth}
	}
	return id == p.ClientID && secret == p.ClientSecret && slices.Contains(offered, any(method))
}
