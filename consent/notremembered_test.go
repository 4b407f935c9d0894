package consent

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// Nobody is remembered whom the site could take for somebody else.
func TestNotRemembered(t *testing.T) {
	company := func(recheck time.Duration) identity.Methods {
		m := identity.ByUserID()
		m.Recheck = recheck
		return identity.Methods{m, identity.Anonymously()}
	}
	for name, tt := range map[string]struct {
		methods identity.Methods
		who     storage.Identity
		user    string // whom another handler names now
		later   time.Duration
		want    bool
	}{
		"declared":                     {nil, alice(), "", 0, true},
		"nobody in particular":         {nil, identity.NewAnonymous(), "", 0, false},
		"of the site, who is there":    {nil, userIdentity("bob"), "bob", 0, true},
		"of the site, who left":        {nil, userIdentity("bob"), "", 0, false},
		"of the site, somebody else":   {nil, userIdentity("bob"), "eve", 0, false},
		"by a method that is gone":     {identity.Methods{identity.ByCaddy(0), identity.Anonymously()}, alice(), "", 0, false},
		"before the recheck":           {company(time.Hour), alice(), "", 59 * time.Minute, true},
		"when the recheck is overdue":  {company(time.Hour), alice(), "", time.Hour, false},
		"at the end of the session":    {nil, alice(), "", sessions.Lifetime, false},
		"just before that":             {nil, alice(), "", sessions.Lifetime - time.Minute, true},
		"of the site, within recheck":  {identity.Methods{identity.ByCaddy(time.Hour), identity.ByUserID()}, userIdentity("bob"), "bob", 2 * time.Hour, true},
		"of the site that knows alone": {identity.Methods{identity.ByCaddy(time.Hour)}, userIdentity("eve"), "bob", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *config.Site) {
				if tt.methods != nil {
					c.SignIn = tt.methods
				}
			})
			if s.as.Config().SignIn.Valid(tt.who) {
				s.signedIn(tt.who)
			} else { // the operator removed the method since
				s.wasSignedIn(tt.who)
			}
			s.user = tt.user
			s.clock.Advance(tt.later)
			s.asks(registered("Cursor", "https://app.example/cb"), nil)
			w := s.get("/oauth/consent?flow_id=sealed")
			if got := w.Code == http.StatusSeeOther; got != tt.want {
				t.Errorf("known: %v, want %v\n%s", got, tt.want, shows(w))
			}
			w = s.get(servicesURL)
			if got := w.Code == http.StatusOK && strings.Contains(shows(w), "Continue as "); got != tt.want {
				t.Errorf("offered to go on: %v, want %v\n%s", got, tt.want, shows(w))
			}
			if s.identity() != nil {
				t.Error("a page load says who somebody is")
			}
			w = s.post(submitPath, "decision", "approve", "resource", "https://mcp.example.com/mcp/notion", "identity", identity.FormValue(tt.who))
			if code := strings.Contains(w.Header().Get("Location"), "code="); code != (tt.want && tt.who.Name != "eve") {
				t.Errorf("approves: %d %s", w.Code, w.Header().Get("Location"))
			} else if !code && s.identity() != nil {
				t.Errorf("the flow is %s's", s.identity().Subject)
			}
		})
	}
}

// Where another handler tells who everybody is, nobody is asked that, and one
// button is all there is to press.
func TestCaddyAloneNeedsNoExtraPage(t *testing.T) {
	w := newWalkBy(t, memstore.New(), func(c *config.Site) { c.SignIn = identity.Methods{identity.ByCaddy(time.Hour)} })
	b := w.browser()
	mustAnswer(t, b.open(b.start()), http.StatusOK) // nobody is there
	b.user = "bob"
	page := b.remembered("bob")
	text := shows(page)
	if !strings.Contains(text, "Sign out of this site, then start again") || strings.Contains(text, "choose=1") || strings.Contains(text, "stays signed in") {
		t.Errorf("page:\n%s", text)
	}
	b.user = "eve"
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)
	b.user = ""
	if left := b.press(page, submitPath, approveBoth); left.Code != http.StatusSeeOther || !strings.HasPrefix(left.Header().Get("Location"), "/oauth/consent?") {
		t.Errorf("nobody is there: %d %s", left.Code, left.Header().Get("Location"))
	}
	b.user = "bob"
	if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
		t.Errorf("answer = %v", got)
	}
}

// Whoever proved nothing begins no more flows by being remembered than by saying
// again who they are.
func TestRememberedIsLimited_G01(t *testing.T) {
	s := newSite(t).signedIn(alice()).exhausted()
	w := s.post(submitPath, "decision", "approve", "resource", "https://mcp.example.com/mcp/notion", "identity", identity.FormValue(alice()))
	if w.Code != http.StatusTooManyRequests || s.identity() != nil {
		t.Errorf("status = %d, identity %v", w.Code, s.identity())
	}
	key := identity.Key{Name: "team-a", Hash: storage.HashOf(testKey)}
	s = newSite(t).signedIn(key.Identity()).exhausted()
	w = s.post(submitPath, "decision", "approve", "resource", "https://mcp.example.com/mcp/notion", "identity", identity.FormValue(key.Identity()))
	if !strings.Contains(w.Header().Get("Location"), "code=") {
		t.Errorf("with a key: %d %s", w.Code, shows(w))
	}
}

// meanwhile does something before a person's browsers are signed out.
type meanwhile struct {
	storage.Store
	do func()
}

func (s *meanwhile) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	if do := s.do; do != nil {
		s.do = nil
		do()
	}
	return s.Store.EndPerson(ctx, e)
}

// What another browser lets in while its person signs out everywhere ends too.
func TestRememberedWhileSigningOutEverywhere_I10(t *testing.T) {
	store := &meanwhile{Store: memstore.New()}
	here := newWalkWith(t, store, []identity.Key{firstAlice}).browser()
	there := here.another()
	here.account(oldKey)
	there.account(oldKey)
	page := there.remembered("alice")
	store.do = func() {
		if got := answer(t, there.press(page, submitPath, approveBoth)); got.Get("code") == "" {
			t.Errorf("answer = %v", got)
		}
	}
	here.signOutEverywhere()
	if store.do != nil {
		t.Fatal("nothing happened meanwhile")
	}
	if all, err := here.as.Grants.List(t.Context(), subjectAlice); err != nil || len(all) != 0 {
		t.Errorf("grants %+v, %v", all, err)
	}
}
