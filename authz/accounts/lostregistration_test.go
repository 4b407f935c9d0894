package accounts

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// forgetfulProvider gives out registrations and may forget them. Its page
// keeps whoever comes as a client that it does not know.
type forgetfulProvider struct {
	registered int
	known      map[string]bool
}

// newForgetful makes the gateway's provider one. saysUnknown is what its token
// endpoint answers to a client that it does not know.
func newForgetful(g *gateway, saysUnknown http.HandlerFunc) *forgetfulProvider {
	p := &forgetfulProvider{known: map[string]bool{}}
	g.provider.Page("/register", func(w http.ResponseWriter, r *http.Request) {
		p.registered++
		id := fmt.Sprintf("dynamic-%d", p.registered)
		p.known[id] = true
		oauthtest.Document(oauthtest.Object{"client_id": id, "client_secret": "s"})(w, r)
	})
	g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		id, _, _ := r.BasicAuth()
		switch {
		case !p.known[id]:
			saysUnknown(w, r)
		case r.PostForm.Get("grant_type") == "authorization_code" && r.PostForm.Get("code") != "code-1":
			oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`)(w, r)
		default:
			oauthtest.Document(oauthtest.Object{"access_token": "at-" + id, "token_type": "Bearer", "refresh_token": "rt", "expires_in": 3600})(w, r)
		}
	})
	return p
}

// travel is a whole request; it reports whether the person came back.
func (p *forgetfulProvider) travel(g *gateway, owner string) bool {
	g.t.Helper()
	req := g.request()
	req.Owner = owner
	request := g.start(req)
	if !p.known[request.Get("client_id")] {
		return false
	}
	if _, err := g.Finish(g.t.Context(), g.answerTo(request)); err != nil {
		g.t.Error("Finish:", err)
	}
	return true
}

var unclearAnswers = map[string]http.HandlerFunc{
	"no config.OAuth error":  oauthtest.Answer(http.StatusBadRequest, "application/json", `{"message":"Unrecognized client_id"}`),
	"a status alone":         oauthtest.Answer(http.StatusUnauthorized, "text/plain", ""),
	"not found":              oauthtest.Answer(http.StatusNotFound, "text/html", "<h1>404</h1>"),
	"a code of its own":      oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"client_not_found"}`),
	"unauthorized_client":    oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"unauthorized_client"}`),
	"invalid_request":        oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_request"}`),
	"the code first":         oauthtest.Answer(http.StatusBadRequest, "application/json", `{"error":"invalid_grant"}`),
	"an error of its own":    oauthtest.Answer(http.StatusInternalServerError, "text/plain", "oops"),
	"a page with status 200": oauthtest.Answer(http.StatusOK, "application/json", `{"error":"oops"}`),
}

// A provider that forgot the registration, and says so on its page only.
func TestForgottenWithoutAWord_CL10(t *testing.T) {
	for name, says := range unclearAnswers {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			p := newForgetful(g, says)
			if !p.travel(g, testOwner) {
				t.Fatal("the first request got lost")
			}
			clear(p.known)
			tries := 0
			for !p.travel(g, testOwner) {
				if tries++; tries == 3 {
					t.Fatal("a person who tries three times does not get through")
				}
			}
			if !p.travel(g, "user_id:bob") || p.registered != 2 {
				t.Errorf("%d registrations, want 2", p.registered)
			}
		})
	}
}

// The first to notice is a refresh: who then connects again gets through at once.
func TestForgottenSeenAtRefresh_CL10(t *testing.T) {
	for name, says := range unclearAnswers {
		if name == "the code first" || name == "invalid_request" || name == "an error of its own" {
			continue // at a refresh these are about something else
		}
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			p := newForgetful(g, says)
			p.travel(g, testOwner)
			clear(p.known)
			g.clock.Advance(2 * time.Hour)
			if _, err := g.Credential(t.Context(), testOwner, "notion"); !errors.Is(err, ErrNeedsReauth) && !errors.Is(err, ErrUnavailable) {
				t.Fatalf("refreshed by a provider that does not know us: %v", err)
			}
			if !p.travel(g, testOwner) || p.registered != 2 {
				t.Errorf("lost, with %d registrations", p.registered)
			}
		})
	}
}

// People who leave and do not care to come back look like those who cannot.
// They must not make us register without end, nor end what others connected.
func TestPeopleWhoGiveUp_CL10(t *testing.T) {
	for name, says := range unclearAnswers {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			p := newForgetful(g, says)
			// It answers everybody so, also to a code of ours that nobody issued.
			var token http.HandlerFunc
			token = g.provider.Page("/token", func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				if r.PostForm.Get("grant_type") == "authorization_code" && r.PostForm.Get("code") != "code-1" {
					says(w, r)
					return
				}
				token(w, r)
			})
			p.travel(g, testOwner)
			for range 50 {
				g.start(ConnectRequest{Server: "notion", Owner: "anonymous:x", Browser: testBrowser, ReturnTo: "/"})
			}
			if p.registered > 2 {
				t.Errorf("%d registrations within a moment", p.registered)
			}
			for range 24 * 4 {
				g.clock.Advance(15 * time.Minute)
				g.start(ConnectRequest{Server: "notion", Owner: "anonymous:x", Browser: testBrowser, ReturnTo: "/"})
			}
			if p.registered > 8 {
				t.Errorf("%d registrations within a day", p.registered)
			}
			// What was connected with the first one is refreshed with it.
			c, err := g.Credential(t.Context(), testOwner, "notion")
			if err != nil || c.Headers[0].Value != "Bearer at-dynamic-1" {
				t.Errorf("credential %v, %v", c, err)
			}
			// One that somebody connects with is kept too.
			if !p.travel(g, "user_id:bob") {
				t.Fatal("lost")
			}
			latest := fmt.Sprintf("Bearer at-dynamic-%d", p.registered)
			for range 24 * 4 {
				g.clock.Advance(15 * time.Minute)
				g.start(ConnectRequest{Server: "notion", Owner: "anonymous:x", Browser: testBrowser, ReturnTo: "/"})
			}
			if c, err := g.Credential(t.Context(), "user_id:bob", "notion"); err != nil || c.Headers[0].Value != latest {
				t.Errorf("credential %v, %v, want %s", c, err, latest)
			}
		})
	}
}

// Who is still on the way is not lost.
func TestOthersOnTheWay_CL10(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, unclearAnswers["no config.OAuth error"])
	p.travel(g, testOwner)
	for i := range 10 {
		g.start(ConnectRequest{Server: "notion", Owner: fmt.Sprint("user_id:", i), Browser: testBrowser, ReturnTo: "/"})
	}
	if p.registered != 1 {
		t.Errorf("%d registrations", p.registered)
	}
}

// A provider that gives no second registration is asked as before.
func TestNoOtherRegistration_CL10(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, unclearAnswers["no config.OAuth error"])
	p.travel(g, testOwner)
	clear(p.known)
	g.provider.Page("/register", oauthtest.Answer(http.StatusForbidden, "text/plain", "no"))
	for range 3 {
		p.travel(g, testOwner)
	}
	p.known["dynamic-1"] = true
	if !p.travel(g, testOwner) {
		t.Error("lost although the provider knows us again")
	}
}

// What the provider refuses is forgotten, and nothing else.
func TestFormerRegistrationIsForgotten(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, oauthtest.Answer(http.StatusUnauthorized, "application/json", `{"error":"invalid_client"}`))
	p.travel(g, testOwner)
	if err := g.RetireRegistrations(t.Context(), "notion"); err != nil {
		t.Fatal(err)
	}
	p.travel(g, "user_id:bob")
	delete(p.known, "dynamic-1")
	g.clock.Advance(2 * time.Hour)
	if _, err := g.Credential(t.Context(), testOwner, "notion"); !errors.Is(err, ErrNeedsReauth) {
		t.Errorf("refreshed with what the provider does not know: %v, want %v", err, ErrNeedsReauth)
	}
	rs, err := g.load(t.Context(), "notion", g.provider.URL)
	if err != nil || rs.ID != "dynamic-2" || len(rs.Former) != 0 {
		t.Errorf("registrations %+v, %v", rs, err)
	}
	if _, err := g.Credential(t.Context(), "user_id:bob", "notion"); err != nil {
		t.Error(err)
	}
}

// An operator drops a registration: the next request makes a new one, and what
// was connected with the former one goes on.
func TestRetireRegistrations(t *testing.T) {
	g := newGateway(t)
	p := newForgetful(g, oauthtest.HangUp)
	p.travel(g, testOwner)
	if err := g.RetireRegistrations(t.Context(), "notion"); err != nil {
		t.Fatal(err)
	}
	all, err := g.Registrations(t.Context())
	if err != nil || len(all) != 1 || all[0].ClientID != "" || all[0].Former != 1 || all[0].Provider != g.provider.URL {
		t.Errorf("registrations %+v, %v", all, err)
	}
	if !p.travel(g, "user_id:bob") || p.registered != 2 {
		t.Errorf("%d registrations", p.registered)
	}
	g.clock.Advance(2 * time.Hour)
	if c, err := g.Credential(t.Context(), testOwner, "notion"); err != nil || c.Headers[0].Value != "Bearer at-dynamic-1" {
		t.Errorf("credential %v, %v", c, err)
	}
	if all, err := g.Registrations(t.Context()); err != nil || len(all) != 1 || all[0].ClientID != "dynamic-2" || all[0].Former != 1 {
		t.Errorf("registrations %+v, %v", all, err)
	}
}

// Who gives up and then connects after all has us register again and again;
// that does not push out the registrations that others connected with.
func TestFormerRegistrationsInUseStay_CL10(t *testing.T) {
	for name, says := range unclearAnswers {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			p := newForgetful(g, says)
			owners := []string{testOwner}
			p.travel(g, testOwner)
			for i := range 2 * maxFormer {
				g.clock.Advance(maxReplacePause)
				for range 3 {
					g.start(ConnectRequest{Server: "notion", Owner: "user_id:mallory", Browser: testBrowser, ReturnTo: "/"})
				}
				p.travel(g, "user_id:mallory")
				if i%2 == 0 {
					owners = append(owners, fmt.Sprint("user_id:", i))
					p.travel(g, owners[len(owners)-1])
				}
			}
			rs, err := g.load(t.Context(), "notion", g.provider.URL)
			if err != nil || len(rs.Former) != maxFormer {
				t.Errorf("%d former registrations are kept, want %d; %v", len(rs.Former), maxFormer, err)
			}
			for _, owner := range owners {
				if _, err := g.Credential(t.Context(), owner, "notion"); err != nil {
					t.Errorf("%s, with %d registrations: %v", owner, p.registered, err)
				}
			}
		})
	}
}
