package oidc

import (
	"errors"
	"net/http"
	"slices"
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

// at is a site at which people sign in at a provider that people use.
type at struct {
	t        *testing.T
	p        *oauthtest.OIDCProvider
	provider *Provider
	method   identity.Method
}

func newAt(t *testing.T, shape string, o Options) *at {
	t.Helper()
	p := oauthtest.NewOIDCProvider(t, shape)
	o.Name, o.Issuer, o.ClientID, o.ClientSecret = "idp", p.Issuer, p.ClientID, p.ClientSecret
	provider := New(o)
	provider.Connect(Deps{Directory: NewDirectory(), Client: client.Client{
		Guarded: egress.New(egress.Options{Loopback: true}), Operator: egress.New(egress.Options{Anywhere: true}), Now: time.Now,
		Profile: client.Profile{Site: "https://mcp.example.com", RedirectURI: callbackURL},
	}})
	return &at{t, p, provider, provider.Method()}
}

func (a *at) login(name string) (identity.Person, error) {
	a.t.Helper()
	redirect, err := a.method.Start(a.t.Context(), identity.Login{State: "state", CallbackURL: callbackURL})
	if err != nil {
		return identity.Person{}, err
	}
	back := oauthtest.Visit(a.t, redirect.URL, name)
	return a.method.Finish(a.t.Context(), identity.Answer{Query: back.Query(), CallbackURL: callbackURL, Secret: redirect.Secret})
}

const (
	entraStaff       = "7b9d4f2c-1e3a-4c58-8f6b-5d2e9a0c4b22"
	entraEngineering = "0f1c2a6e-6d1b-4a53-9d0e-2f8a3c1b7e11"
)

// With each provider that people use, who is in the company is let in and nobody
// else, with groups, name and address as far as the provider tells them; and at
// each renewal what the provider says then is known.
func TestProvidersThatPeopleUse(t *testing.T) {
	offline := func(more ...string) []string {
		return append([]string{"openid", "profile", "email", "offline_access"}, more...)
	}
	for _, tt := range []struct {
		shape   string
		options Options
		allow   string
		groups  []string // Ada's
		claim   string   // in which they are
		email   string
	}{
		{"google", Options{AuthorizeParams: map[string]string{"access_type": "offline"}, Prompt: "consent", Email: VerifiedEmail}, "claim:hd=example.com", nil, "", "ada@example.com"},
		{"entra", Options{Email: TrustedEmail}, "group:" + entraStaff, []string{entraEngineering, entraStaff}, "groups", "ada@example.com"},
		{"entra", Options{Email: VerifiedEmail}, "group:" + entraStaff, []string{entraEngineering, entraStaff}, "groups", ""},
		{"okta-org", Options{Email: VerifiedEmail}, "group:All Staff", []string{"All Staff", "Engineering", "Everyone"}, "groups", "ada@example.com"},
		{"okta-custom", Options{Scopes: offline()}, "group:All Staff", []string{"All Staff", "Engineering", "Everyone"}, "groups", ""},
		{"auth0", Options{GroupsClaim: "https://example.com/groups", Email: VerifiedEmail}, "group:staff", []string{"engineering", "staff"}, "https://example.com/groups", "ada@example.com"},
		{"keycloak", Options{Email: VerifiedEmail}, "group:/staff", []string{"/staff", "/staff/engineering"}, "groups", "ada@example.com"},
		{"keycloak", Options{GroupsClaim: "realm_access.roles", Scopes: []string{"openid"}}, "group:employee", []string{"employee", "engineer", "offline_access", "uma_authorization"}, "", ""},
		{"authentik", Options{Email: VerifiedEmail}, "group:staff", []string{"engineering", "staff"}, "groups", ""},
		{"authelia", Options{Email: VerifiedEmail}, "group:staff", []string{"engineering", "staff"}, "groups", "ada@example.com"},
		{"zitadel", Options{GroupsClaim: "urn:zitadel:iam:org:project:roles", Email: VerifiedEmail}, "group:staff", []string{"engineering", "staff"}, "urn:zitadel:iam:org:project:roles", "ada@example.com"},
		{"pocket-id", Options{Email: VerifiedEmail}, "group:staff", []string{"engineering", "staff"}, "groups", "ada@example.com"},
		{"dex", Options{Email: VerifiedEmail}, "group:example-org:staff", []string{"example-org:engineering", "example-org:staff"}, "groups", "ada@example.com"},
	} {
		t.Run(tt.shape+" "+tt.options.GroupsClaim, func(t *testing.T) {
			o := tt.options
			var err error
			if o.Allow, err = identity.ParseRules([]string{tt.allow}); err != nil {
				t.Fatal(err)
			}
			a := newAt(t, tt.shape, o)
			ada, err := a.login("ada")
			if err != nil {
				t.Fatal(err)
			}
			if got := ada.Claims; !slices.Equal(got.Groups, tt.groups) || got.Email != tt.email || got.Name != "Ada Lovelace" {
				t.Errorf("claims %+v, want groups %q and email %q", got, tt.groups, tt.email)
			}
			if _, err := a.login("bea"); err != nil {
				t.Errorf("bea: %v", err)
			}
			var denied *identity.Denied
			if _, err := a.login("eve"); !errors.As(err, &denied) || denied.Code != "oidc-idp_not_allowed" {
				t.Errorf("eve: %v, want not allowed", err)
			}
			a.renews(ada, tt.claim)
		})
	}
}

// renews checks that a renewal tells of a person what the provider says now, and
// ends who has left.
func (a *at) renews(ada identity.Person, claim string) {
	a.t.Helper()
	again, err := a.method.Renew(a.t.Context(), ada)
	if err != nil || again.Subject != ada.Subject || !slices.Equal(again.Claims.Groups, ada.Claims.Groups) {
		a.t.Fatalf("renewed to %+v, %v", again, err)
	}
	if claim != "" {
		a.p.Change(func() { a.p.People["ada"] = a.p.People["ada"].Without(claim) })
		if _, err = a.method.Renew(a.t.Context(), again); !errors.Is(err, identity.ErrEnded) {
			a.t.Errorf("without groups: %v, want it ended", err)
		}
		return
	}
	a.p.EndSessions("ada")
	if _, err = a.method.Renew(a.t.Context(), again); !errors.Is(err, identity.ErrEnded) {
		a.t.Errorf("after the end of all sessions: %v, want it ended", err)
	}
}

// Entra tells no groups of who is in too many of them, and says so.
func TestEntraGroupOverage(t *testing.T) {
	a := newAt(t, "entra", Options{Allow: rules(t, "group:"+entraStaff)})
	var denied *identity.Denied
	if _, err := a.login("lin"); !errors.As(err, &denied) || denied.Code != "oidc-idp_groups_left_out" || !denied.Operator {
		t.Errorf("lin: %v, want that groups were left out", err)
	}
}

// What only servers need to know of people is asked for and kept, too.
func TestNeedsOfServers(t *testing.T) {
	a := newAt(t, "authelia", Options{Needs: identity.Needs{Email: true, Groups: true, Claims: []string{"alt_emails"}}})
	ada, err := a.login("ada")
	if err != nil {
		t.Fatal(err)
	}
	if c := ada.Claims; len(c.Groups) != 2 || c.Email != "ada@example.com" || c.Extra["alt_emails"] == nil {
		t.Errorf("claims %+v", c)
	}
	if _, err := a.login("eve"); err != nil {
		t.Errorf("eve: %v, want her to sign in", err)
	}
	core, log := observer.New(zapcore.WarnLevel)
	b := newAt(t, "entra", Options{Needs: identity.Needs{Groups: true}})
	b.provider.at.Load().events = event.NewRecorder(event.Options{Now: time.Now}, event.NewLog(zap.New(core)))
	if _, err := b.login("lin"); err != nil || log.Len() != 1 {
		t.Errorf("lin: %v and %d warnings, want her to sign in, and one", err, log.Len())
	}
}

// The issuer of all tenants is that of none: whoever writes it is told.
func TestEntraCommonIsNoIssuer(t *testing.T) {
	a := newAt(t, "entra-common", Options{})
	_, err := a.login("ada")
	var down *identity.Unavailable
	if !errors.As(err, &down) || !strings.Contains(down.Cause.Error(), "id of your tenant") {
		t.Errorf("got %v, want words about the tenant", err)
	}
}

// Claims that rules need are asked for with the scope that the provider has for
// them, if it has one; Google and Entra refuse what they do not know.
func TestGroupsScope(t *testing.T) {
	for shape, want := range map[string]bool{"okta-org": true, "pocket-id": true, "dex": true, "authelia": true, "okta-custom": false, "entra": false, "keycloak": false} {
		a := newAt(t, shape, Options{Allow: rules(t, "group:x")})
		_, _ = a.login("ada")
		asked := a.p.Requests(t, "authorization_endpoint")[0].URL.Query().Get("scope")
		if got := slices.Contains(strings.Fields(asked), "groups"); got != want {
			t.Errorf("%s is asked for %q, want groups among them: %t", shape, asked, want)
		}
	}
}

// While a provider is down, people are neither let in nor ended.
func TestProviderThatPeopleUseIsDown(t *testing.T) {
	a := newAt(t, "keycloak", Options{Allow: rules(t, "group:/staff")})
	ada, err := a.login("ada")
	if err != nil {
		t.Fatal(err)
	}
	a.p.Change(func() { a.p.Outage = oauthtest.Answer(http.StatusServiceUnavailable, "text/plain", "down") })
	if _, err := a.method.Renew(t.Context(), ada); err == nil || errors.Is(err, identity.ErrEnded) {
		t.Errorf("renewed with %v, want it to be tried again", err)
	}
}
