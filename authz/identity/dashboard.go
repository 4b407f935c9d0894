package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Dashboard: a web application of the operator vouches for the person.
const Dashboard Kind = "dashboard"

// DashboardLogin is the parameter with which a dashboard is told which login it
// answers.
const DashboardLogin = "login"

// AtDashboard is a dashboard at which people sign in.
type AtDashboard struct {
	AuthorizeURL, Issuer string
	// Allow chooses who may sign in; nil: all for whom it vouches.
	Allow *Rules
	// Recheck is how long a grant is good after it vouched for the person.
	Recheck time.Duration
}

// ByDashboard lets people sign in as who they are at a dashboard. The browser
// takes the name of the login there; the dashboard says itself who the person is,
// see Logins.Vouch, and the browser comes back with the code that it got for that.
// Only both together sign somebody in: the browser that the login began in, and
// the word for this login.
func ByDashboard(d AtDashboard) Method {
	host := d.AuthorizeURL
	if u, err := url.Parse(d.AuthorizeURL); err == nil {
		host = u.Host
	}
	return Method{
		Kind: Dashboard, Form: "dashboard", ExcludesStrangers: true, NameVerified: true, NameShared: true, Recheck: d.Recheck,
		Label: "signed in at " + host, SharedProof: dashboardProof(d.Issuer), Basis: d.Allow.String(),
		Valid: func(id storage.Identity) bool { return d.Allow.Match(id.Claims) },
		Messages: map[string]string{
			"dashboard": "You came back without being signed in. Please try again.",
		},
		Prompt: func(*http.Request, bool) Prompt {
			return Prompt{
				Title: "Account at " + host, Hint: "You are sent to " + host + " to sign in, and come back here.", Button: "Sign in at " + host,
			}
		},
		Ready: func() bool { return true }, // nothing has to be known of it beforehand
		Start: func(_ context.Context, l Login) (Redirect, error) {
			return Redirect{URL: d.AuthorizeURL + "?" + url.Values{DashboardLogin: {l.State}}.Encode()}, nil
		},
		Finish: func(ctx context.Context, a Answer) (Person, error) { return a.Vouched(ctx, a.Query.Get("code")) },
	}
}

// dashboardProof tells the people of a dashboard from those of another that came
// into its place.
func dashboardProof(issuer string) string {
	sum := sha256.Sum256([]byte(issuer))
	return hex.EncodeToString(sum[:8])
}

// OfDashboard returns the identity of a person for whom the dashboard of an issuer
// vouches.
func OfDashboard(issuer string, p dashboard.Person) storage.Identity {
	name, err := CleanName(cmp.Or(p.Claims.Email, p.Claims.Name))
	if err != nil {
		name = p.Subject
	}
	return storage.Identity{
		Kind: string(Dashboard), Subject: subject(Dashboard, p.Subject), Name: name,
		Proof: dashboardProof(issuer), Claims: p.Claims,
	}
}
