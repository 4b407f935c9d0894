package consent

import (
	"html"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// spell is what a template engine behind a page would run, if it were there.
const spell = `{{env "SECRET"}} ${SECRET} [[env "SECRET"]]`

// Whatever a stranger wrote is on a page as text, also for a template engine
// that somebody put around the handler.
func TestNothingOfStrangersRuns(t *testing.T) {
	who := storage.Identity{Kind: "user_id", Subject: "user_id:" + spell, Name: spell}
	spelled := func(s *site) *flows.Flow {
		f := s.mustOpenFlow()
		f.Client = &clients.Client{ID: "https://evil.example/" + spell, Origin: clients.MetadataDocument, Metadata: oauth.ClientMetadata{ClientName: spell}}
		f.RedirectURI, f.Identity = "https://evil.example/cb?"+spell, &who
		return f
	}
	user := userIdentity(spell)
	connected := func() *site {
		s := newSiteWith(t, newFakeBroker())
		s.broker.servers["notion"].Auth.Scopes = []string{spell}
		s.broker.connected(who.Subject, "github", storage.Active, spell)
		return s
	}
	account := connected()
	grant := letIn("grant-1", who)
	grant.ClientName, grant.RedirectURI, grant.Scope = spell, "https://evil.example/cb?"+spell, []string{spell}
	account.signedIn(who).approved(grant)
	signIn := newSite(t)
	signIn.user = user.Name
	site := connected()
	for name, page := range map[string]*httptest.ResponseRecorder{
		"identity": shown(t, site.pages.identity.show, "/", spelled(site)),
		"services": shown(t, site.pages.services.show, "/", spelled(site)),
		"key":      shown(t, site.pages.flowConnect.keyPage(site.pages.connector.showKeyPage), "/?server=github&chosen=%7B%7Benv+%22SECRET%22%7D%7D+%5B%5Bx", spelled(site)),
		"account":  account.get(accountPath),
		"sign-in":  signIn.get(accountPath),
		"error":    site.get("/oauth/consent?flow_id=%7B%7Benv%7D%7D"),
	} {
		t.Run(name, func(t *testing.T) {
			before, rest, _ := strings.Cut(page.Body.String(), "<style>")
			_, after, _ := strings.Cut(rest, "</style>")
			if text := before + after; strings.Contains(text, "{") || strings.Contains(text, "[[") {
				t.Errorf("a template engine would take what is a stranger's:\n%s", text)
			}
			if name != "error" && !strings.Contains(html.UnescapeString(page.Body.String()), `{{env "SECRET"}}`) {
				t.Errorf("what they wrote is not shown:\n%s", shows(page))
			}
		})
	}
}
