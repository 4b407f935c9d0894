package oidc

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const callbackURL = "https://mcp.example.com/oauth/login/callback/oidc-idp"

// rp is a site at which people sign in at a provider.
type rp struct {
	*Provider
	t      testing.TB
	idp    *oauthtest.IdentityProvider
	clock  *oauthtest.Clock
	log    *observer.ObservedLogs
	method identity.Method
}

// newRP returns a site with a provider whose options change has changed.
func newRP(t testing.TB, change func(*Options)) *rp {
	t.Helper()
	idp := oauthtest.NewIdentityProvider(t)
	s := &rp{t: t, idp: idp, clock: oauthtest.NewClock(time.Unix(1_800_000_000, 0))}
	idp.Now = s.clock.Now
	options := Options{Name: "idp", Issuer: idp.URL, ClientID: idp.ClientID, ClientSecret: "s3cret", Recheck: 15 * time.Minute}
	if change != nil {
		change(&options)
	}
	s.Provider = New(options)
	s.method = s.Provider.Method()
	s.connect(NewDirectory())
	return s
}

func (s *rp) connect(d *Directory) {
	core, log := observer.New(zapcore.DebugLevel)
	s.log = log
	s.Connect(Deps{Directory: d, Events: event.NewRecorder(event.Options{Now: time.Now}, event.NewLog(zap.New(core))), Client: client.Client{
		Guarded: egress.New(egress.Options{Loopback: true}), Operator: egress.New(egress.Options{Anywhere: true}), Now: s.clock.Now,
		Profile: client.Profile{Site: "https://mcp.example.com", RedirectURI: callbackURL, AssertionSeeds: func() [][32]byte { return [][32]byte{{1}} }},
	}})
}

// rules reads the rules of allow.
func rules(t testing.TB, text string) *identity.Rules {
	t.Helper()
	r, err := identity.ParseRules(strings.Fields(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// leave sends a person to the provider, and returns what they come back with.
func (s *rp) leave() identity.Answer {
	s.t.Helper()
	redirect, err := s.method.Start(s.t.Context(), identity.Login{State: "state", CallbackURL: callbackURL})
	if err != nil {
		s.t.Fatal(err)
	}
	return identity.Answer{Query: s.visit(redirect.URL), CallbackURL: callbackURL, Secret: redirect.Secret}
}

// visit opens a page of the provider, and returns the query of where it sends the
// browser to.
func (s *rp) visit(address string) url.Values {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	back, err := res.Location()
	if err != nil || !strings.HasPrefix(back.String(), callbackURL+"?") {
		s.t.Fatalf("the provider answers %d, to %v", res.StatusCode, back)
	}
	return back.Query()
}

// login signs a person in.
func (s *rp) login() (identity.Person, error) {
	s.t.Helper()
	return s.method.Finish(s.t.Context(), s.leave())
}

// mustLogin is login for who must be let in.
func (s *rp) mustLogin() identity.Person {
	s.t.Helper()
	p, err := s.login()
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// refusedAs checks that a person was refused with a code, for which there are
// words, and why.
func (s *rp) refusedAs(err error, code, why string) {
	s.t.Helper()
	var denied *identity.Denied
	if !errors.As(err, &denied) {
		s.t.Fatalf("got %v, want it denied as %s", err, code)
	}
	if denied.Code != "oidc-idp_"+code || s.method.Messages[denied.Code] == "" || !strings.Contains(denied.Error(), why) {
		s.t.Errorf("denied as %s because of %v, want %s, %q", denied.Code, denied.Cause, code, why)
	}
	if strings.Contains(err.Error(), oauthtest.Canary) {
		s.t.Errorf("the error repeats the provider: %v", err)
	}
}

// unavailable checks that nobody was let in because the provider did not answer.
func (s *rp) unavailable(err error, why string) {
	s.t.Helper()
	var down *identity.Unavailable
	if !errors.As(err, &down) || !strings.Contains(down.Cause.Error(), why) {
		s.t.Errorf("got %v, want that the provider does not answer: %q", err, why)
	}
}
