package identity

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A dashboard that takes the place of another brings other people, also those of the
// same names.
func TestAnotherDashboardBringsOthers(t *testing.T) {
	const before, now = "https://before.example", "https://app.example"
	methods := Methods{ByDashboard(AtDashboard{AuthorizeURL: now + "/authorize", Issuer: now})}
	jane := dashboard.Person{Subject: "1", Claims: &storage.Claims{Name: "Jane"}}
	if !methods.Valid(OfDashboard(now, jane)) {
		t.Error("whom the dashboard vouches for is not valid")
	}
	if methods.Valid(OfDashboard(before, jane)) || OfDashboard(now, jane).Same(OfDashboard(before, jane)) {
		t.Error("whom another dashboard vouched for is still valid, or the same person")
	}
}
