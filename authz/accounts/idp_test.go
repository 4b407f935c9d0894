package accounts

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// idp is a provider that replaces refresh tokens and remembers whose tokens
// are whose, and how often it was sent each.
type idp struct {
	*httptest.Server
	t  testing.TB
	mu sync.Mutex

	issued int
	owners map[string]string // of every token that was ever given out
	live   map[string]bool   // refresh tokens that would be taken
	sent   map[string]bool   // refresh tokens that came, and were not answered with "cannot"
	twice  []string          // those that came again while the access token still worked
	// access is what came with each refresh token, ends when it ends by itself,
	// and refused what the server refused when it was asked about it.
	access  map[string]string
	ends    map[string]time.Time
	refused map[string]bool
	now     func() time.Time
	revoked []string
	forms   []url.Values // of refreshes
	// faults answer the next requests, in order, instead of the provider.
	faults []fault
	// away answers all requests, if set.
	away *fault
	// extra members of token responses; a nil one removes a member.
	members oauthtest.Object
	// keeps: the provider does not replace refresh tokens.
	keeps bool
	// judge, if set, may refuse a request for its parameters.
	judge func(url.Values) http.HandlerFunc
	// gate, if set, holds back answers until it is closed.
	gate chan struct{}
	// came has an entry for each refresh.
	came chan struct{}
}

// fault answers a refresh, and says whether the provider did its work before.
type fault struct {
	works bool
	// cannot tells that the provider says it did nothing.
	cannot bool
	answer http.HandlerFunc
}

var (
	cannot     = fault{cannot: true, answer: oauthtest.Answer(http.StatusServiceUnavailable, "text/html", "secret-of-the-provider")}
	lostBefore = fault{answer: oauthtest.HangUp}
	lostAfter  = fault{works: true, answer: oauthtest.HangUp}
	garbage    = fault{works: true, answer: oauthtest.Answer(http.StatusOK, "text/html", "<html>secret-of-the-provider</html>")}
)

// later refuses without having looked at the token.
func later(status int, code string) fault {
	f := refusal(status, code)
	f.cannot = true
	return f
}

func refusal(status int, code string) fault {
	return fault{answer: oauthtest.Answer(status, "application/json", `{"error":"`+code+`","error_description":"secret-of-the-provider"}`)}
}

func newIDP(t testing.TB) *idp {
	p := &idp{t: t, now: time.Now, owners: map[string]string{}, live: map[string]bool{}, sent: map[string]bool{},
		access: map[string]string{}, ends: map[string]time.Time{}, refused: map[string]bool{},
		members: oauthtest.Object{"expires_in": 3600}, came: make(chan struct{}, 10_000)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /revoke", p.revoke)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// issue gives out tokens for an owner.
func (p *idp) issue(owner string) (access, refresh string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issueLocked(owner)
}

func (p *idp) issueLocked(owner string) (access, refresh string) {
	p.issued++
	access, refresh = fmt.Sprintf("at-%d", p.issued), fmt.Sprintf("rt-%d", p.issued)
	p.owners[access], p.owners[refresh], p.live[refresh] = owner, owner, true
	p.access[refresh], p.ends[access] = access, p.now().Add(time.Hour)
	return access, refresh
}

// token does its work, and then holds back the answer while there is a gate.
func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	reply, gate := p.refresh(r.PostForm), p.gate
	p.mu.Unlock()
	p.came <- struct{}{}
	if gate != nil {
		<-gate
	}
	reply(w, r)
}

func (p *idp) refresh(form url.Values) http.HandlerFunc {
	p.forms = append(p.forms, form)
	token := form.Get("refresh_token")
	if p.judge != nil {
		if refusal := p.judge(form); refusal != nil {
			return refusal
		}
	}
	var f fault
	if p.away != nil {
		f = *p.away
	} else if len(p.faults) > 0 {
		f, p.faults = p.faults[0], p.faults[1:]
	}
	if !f.cannot {
		if access := p.access[token]; p.sent[token] && !p.keeps && !p.refused[access] && p.now().Before(p.ends[access]) {
			p.twice = append(p.twice, token)
		}
		p.sent[token] = true
	}
	if f.answer != nil && !f.works {
		return f.answer
	}
	if !p.live[token] {
		return oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`)
	}
	delete(p.live, token)
	access, refresh := p.issueLocked(p.owners[token])
	if p.keeps {
		p.live[token] = true
	}
	if f.answer != nil {
		return f.answer
	}
	m := oauthtest.Object{"access_token": access, "refresh_token": refresh, "token_type": "Bearer"}
	for name, value := range p.members {
		if value == nil {
			delete(m, name)
			continue
		}
		m[name] = value
	}
	if m["refresh_token"] == nil || p.keeps {
		p.live[token] = true
		p.access[token] = access
		delete(m, "refresh_token")
	}
	return oauthtest.Document(m)
}

func (p *idp) revoke(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) > 0 {
		f := p.faults[0]
		p.faults = p.faults[1:]
		f.answer(w, r)
		return
	}
	p.revoked = append(p.revoked, r.PostForm.Get("token_type_hint")+" "+r.PostForm.Get("token"))
	delete(p.live, r.PostForm.Get("token"))
}

// forgetEverything makes a new provider of an old one.
func (p *idp) forgetEverything() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued, p.faults, p.forms, p.revoked, p.twice = 0, nil, nil, nil, nil
	clear(p.access)
	clear(p.ends)
	clear(p.refused)
	clear(p.owners)
	clear(p.live)
	clear(p.sent)
	for len(p.came) > 0 {
		<-p.came
	}
}

// fail makes the next requests fail.
func (p *idp) fail(faults ...fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// outage has all requests fail until it is called with nil.
func (p *idp) outage(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = f
}

// answerWith changes the token responses.
func (p *idp) answerWith(m oauthtest.Object) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members = m
}

// refreshes returns the forms of the refreshes that came.
func (p *idp) refreshes() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forms
}

func (p *idp) revocations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revoked
}

// ownerOf returns whose access token a credential carries.
func (p *idp) ownerOf(c *Credential) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c == nil || len(c.Headers) != 1 || c.Headers[0].Name != "Authorization" {
		return ""
	}
	return p.owners[strings.TrimPrefix(c.Headers[0].Value, "Bearer ")]
}

// sentTwice returns the refresh tokens that came again while the access token
// that came with them still worked, other than after the provider had said that
// it did nothing.
func (p *idp) sentTwice() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.twice
}

func (p *idp) checkNoneTwice() {
	p.t.Helper()
	if tokens := p.sentTwice(); len(tokens) > 0 {
		p.t.Errorf("sent twice: %v", tokens)
	}
}
