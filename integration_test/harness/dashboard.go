package harness

import (
	"net"
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Dashboard is the web application of examples/dashboard, running.
type Dashboard struct {
	*programs.Program
	// URL is its origin, and issuer.
	URL string

	port string
}

// PlaceDashboard chooses where a dashboard will be, for the configuration of the
// gateway that it is to know.
func PlaceDashboard(t testing.TB) *Dashboard {
	t.Helper()
	addr := programs.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return &Dashboard{URL: "http://" + addr, port: port}
}

// Start starts the dashboard of a gateway.
func (d *Dashboard) Start(t testing.TB, g *Gateway, env ...string) {
	t.Helper()
	cmd := programs.Node(t, "../../examples/dashboard/dashboard.mjs")
	cmd.Env = append(append(cmd.Env, "DASHBOARD_PORT="+d.port, "GATEWAY_URL="+g.URL), env...)
	d.Program = programs.Start(t, cmd)
	d.Expect(t, "dashboard at "+d.URL)
}

// DashboardPeople are those who can sign in there, and how.
var DashboardPeople = map[string]url.Values{
	"jane": {"name": {"jane"}, "word": {"open sesame"}},
	"john": {"name": {"john"}, "word": {"let me in"}},
}

// SignInAtDashboard gets past the page of a Dashboard that asks who the person is,
// which it does once per browser, and returns the page that follows.
func (b *Browser) SignInAtDashboard(t testing.TB, at *oauthtest.Page, person string) *oauthtest.Page {
	t.Helper()
	if at.HasButton("Sign in") {
		at = b.Press(t, at, "Sign in", DashboardPeople[person])
	}
	return at
}

// ThroughDashboard presses the button of a page of ours that leads to the
// dashboard, signs in there, and returns the page of ours that follows.
func (b *Browser) ThroughDashboard(t testing.TB, d *Dashboard, p *oauthtest.Page, person string) *oauthtest.Page {
	t.Helper()
	if button := "Sign in at " + d.URL[len("http://"):]; p.HasButton(button) {
		p = b.Press(t, p, button, nil)
	}
	back := b.SignInAtDashboard(t, b.Follow(t, p), person)
	return b.Follow(t, back)
}
