package consent

import (
	"html"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// spell is what a template engine behind a page would run, if it were there.
const spell = `{{env "SECRET"}} ${SECRET} [[env "SECRET"]]`

// Whatever a stranger wrote is on a page as text, also for a template engine
// that somebody put around the handler.
func TestNothingOfStrangersRuns(t *testing.T) {
	spelled := func() *fakeFlows {
		fake := newFake()
		fake.flow.Client = &authz.Client{ID: "https://evil.example/" + spell, Origin: authz.MetadataDocument, Metadata: oauth.ClientMetadata{ClientName: spell}}
		fake.flow.RedirectURI = "https://evil.example/cb?" + spell
		fake.flow.SealedID = "sealed"
		return fake
	}
	who := storage.Identity{Kind: "user_id", Subject: "user_id:" + spell, Name: spell}
	user := userIdentity(spell)
	connected := func(fake *fakeFlows) *site {
		s := newSiteWith(t, fake, newFakeBroker())
		s.broker.servers["notion"].Scopes = []string{spell}
		s.broker.connected(who.Subject, "github", storage.Active, spell)
		return s
	}
	account := connected(newFake())
	grant := letIn("grant-1", who)
	grant.ClientName, grant.RedirectURI, grant.Scope = spell, "https://evil.example/cb?"+spell, []string{spell}
	account.person, account.grants = &who, []storage.Grant{grant}
	signIn := newSite(t, newFake())
	signIn.user = user.Name
	key := connected(spelled()).identified(who)
	for name, page := range map[string]*httptest.ResponseRecorder{
		"identity": newSite(t, spelled()).get("/oauth/consent?flow_id=sealed"),
		"services": connected(spelled()).identified(who).get(servicesURL),
		"key":      key.get(flowKeyPath + "?flow_id=sealed&server=github&chosen=%7B%7Benv+%22SECRET%22%7D%7D+%5B%5Bx"),
		"account":  account.get(AccountPath),
		"sign-in":  signIn.get(AccountPath),
		"error":    newSite(t, spelled()).get("/oauth/consent?flow_id=%7B%7Benv%7D%7D"),
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
