package oauthtest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Paths of a Provider.
const (
	ProviderMetadataPath = "/.well-known/oauth-authorization-server"
	RegisterPath         = "/register"
	AuthorizePath        = "/authorize"
	TokenPath            = "/token"
	RevokePath           = "/revoke"
)

// AccountHeader says which account a browser is signed in to at a Provider.
const AccountHeader = "X-Account"

// Provider is the authorization server of an upstream: metadata, registration,
// authorization, tokens and their revocation. It agrees to whatever it is asked,
// replaces refresh tokens when they are used, and remembers whose tokens are
// whose. Each page can be replaced, see [Host.Page].
//
// Fields are set before the first request, or in Change.
type Provider struct {
	*Host
	// Now is the time, by which access tokens end after Lifetime.
	Now      func() time.Time
	Lifetime time.Duration
	// Members replace those of token responses; nil removes one.
	Members Object
	// TokenName names the n-th tokens, unless nil; they are numbered.
	TokenName func(n int, account string) string
	// KeepsRefreshTokens has refresh tokens be good more than once.
	KeepsRefreshTokens bool
	// Declines has people decline.
	Declines bool
	// Outage answers all token requests, if set.
	Outage *Fault
	// Judge may refuse a token request, whose form was read, if set.
	Judge func(*http.Request) http.HandlerFunc
	// Arrived is called when a token request arrives, before it is looked at.
	Arrived func(url.Values)

	mu             sync.Mutex
	agreed, issued int
	codes          map[string]authorization
	tokens         map[string]*token // all that were ever given out
	// sent are refresh tokens that came, other than when the provider said that
	// it did nothing.
	sent             map[string]bool
	reused, tooEarly []string
	revoked          []string
	faults           []Fault
	held             chan struct{}
	refreshed        chan struct{}
}

// authorization is what a person agreed to.
type authorization struct{ account, scope string }

type token struct {
	authorization
	// access is the access token that came with a refresh token.
	access string
	ends   time.Time
	// good is unset for what was used up or revoked.
	good bool
	// refused is set for what MCP servers do not take any more.
	refused bool
}

// NewProvider starts a provider. It is closed when the test ends.
func NewProvider(t testing.TB) *Provider {
	p := &Provider{
		Host: NewHost(t), Now: time.Now, Lifetime: time.Hour, Members: Object{"expires_in": 3600},
		codes: map[string]authorization{}, tokens: map[string]*token{}, sent: map[string]bool{},
		refreshed: make(chan struct{}, 10_000),
	}
	p.Page(ProviderMetadataPath, Document(p.Metadata()))
	p.Page(RegisterPath, Document(Object{"client_id": "gateway", "token_endpoint_auth_method": "none"}))
	p.Page(AuthorizePath, p.authorize)
	p.Page(TokenPath, p.answerToken)
	p.Page(RevokePath, p.revoke)
	return p
}

// Metadata returns the provider's metadata document (RFC 8414).
func (p *Provider) Metadata() Object {
	return Object{
		"issuer":                                p.URL,
		"authorization_endpoint":                p.URL + AuthorizePath,
		"token_endpoint":                        p.URL + TokenPath,
		"registration_endpoint":                 p.URL + RegisterPath,
		"revocation_endpoint":                   p.URL + RevokePath,
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
	}
}

// Change changes fields while requests are on their way.
func (p *Provider) Change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// authorize answers at once, for the account that the browser is signed in to.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	request := r.URL.Query()
	answer := url.Values{"state": request["state"], "iss": {p.URL}}
	if p.Declines {
		answer.Set("error", "access_denied")
	} else {
		p.agreed++
		code := fmt.Sprintf("code-%d", p.agreed)
		p.codes[code] = authorization{r.Header.Get(AccountHeader), request.Get("scope")}
		answer.Set("code", code)
	}
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

// answerToken does its work, and then holds back the answer while it shall.
func (p *Provider) answerToken(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	arrived := p.Arrived
	p.mu.Unlock()
	if arrived != nil {
		arrived(r.PostForm)
	}
	p.mu.Lock()
	answer, held := p.grant(r), p.held
	p.mu.Unlock()
	if r.PostForm.Get("grant_type") == "refresh_token" {
		select {
		case p.refreshed <- struct{}{}:
		default:
		}
	}
	if held != nil {
		<-held
	}
	answer(w, r)
}

// grant returns the answer to a token request. p.mu is held.
func (p *Provider) grant(r *http.Request) http.HandlerFunc {
	form := r.PostForm
	if p.Judge != nil {
		if refusal := p.Judge(r); refusal != nil {
			return refusal
		}
	}
	var fault Fault
	if p.Outage != nil {
		fault = *p.Outage
	} else {
		fault = p.nextFault()
	}
	refresh := form.Get("refresh_token")
	if refresh != "" && !fault.NotProcessed {
		p.noteReuse(refresh)
	}
	if fault.Answer != nil && !fault.Processed {
		return fault.Answer
	}
	tokens := p.redeem(form)
	switch {
	case tokens == nil:
		return Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant","error_description":"`+Canary+`"}`)
	case fault.Answer != nil:
		return fault.Answer
	}
	return Document(tokens)
}

// redeem exchanges a code or a refresh token, or returns nil. p.mu is held.
func (p *Provider) redeem(form url.Values) Object {
	code, refresh := form.Get("code"), form.Get("refresh_token")
	agreed, ok := p.codes[code]
	delete(p.codes, code)
	if spent := p.tokens[refresh]; spent != nil {
		agreed, ok = spent.authorization, spent.good
		spent.good = false
	}
	if !ok {
		return nil
	}
	access, next := p.issue(agreed)
	tokens := Object{"access_token": access, "refresh_token": next, "token_type": "Bearer"}
	maps.Copy(tokens, p.Members)
	maps.DeleteFunc(tokens, func(_ string, value any) bool { return value == nil })
	if spent := p.tokens[refresh]; spent != nil && (p.KeepsRefreshTokens || tokens["refresh_token"] == nil) {
		spent.good, spent.access = true, access
		delete(tokens, "refresh_token")
	}
	return tokens
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	defer p.mu.Unlock()
	if fault := p.nextFault(); fault.Answer != nil {
		fault.Answer(w, r)
		return
	}
	p.revoked = append(p.revoked, r.PostForm.Get("token_type_hint")+" "+r.PostForm.Get("token"))
	if t := p.tokens[r.PostForm.Get("token")]; t != nil {
		t.good = false
	}
}
