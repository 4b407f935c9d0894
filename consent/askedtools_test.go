package consent

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/tools"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// fakeAsker tells everybody what is in the catalog of a server.
type fakeAsker struct {
	offers *catalog.Catalog
	silent bool
	mu     sync.Mutex
	asked  []string // as whom, and which server
}

// Ask implements tools.Asker.
func (a *fakeAsker) Ask(_ *http.Request, p tools.Person, servers []*config.Server) map[string]tools.Told {
	told := map[string]tools.Told{}
	for _, s := range servers {
		a.mu.Lock()
		a.asked = append(a.asked, p.Owner(s)+" "+s.ID)
		a.mu.Unlock()
		if all := a.offers.Of("https://mcp.example.com", s.Configured().ID).All(access.Tool); len(all) > 0 && !a.silent {
			told[s.ID] = tools.Told{Known: true, Tools: all}
		}
	}
	return told
}

// A server is asked as whoever has connected it; one that has to be connected first is
// not asked, and nothing that it said to others is shown.
func TestServersAreAskedWithAnAccount(t *testing.T) {
	s := connecting(t)
	s.lists("notion", notionTools)
	page := s.get(servicesURL).Body.String()
	if boxes, _ := toolBoxes(page); len(boxes) != 0 || len(s.asker.asked) != 0 || !strings.Contains(page, "Connect it, and you can choose among its tools here.") {
		t.Errorf("not connected: boxes %q, asked %q:\n%s", boxes, s.asker.asked, page)
	}
	for owner, want := range map[string]string{storage.FlowOwner(s.mustOpenFlow().ID): storage.FlowOwner(s.mustOpenFlow().ID) + " notion", alice().Subject: alice().Subject + " notion"} {
		s.asker.asked = nil
		clear(s.broker.connections)
		s.broker.connected(owner, "notion", storage.NeedsReauth)
		if s.get(servicesURL); len(s.asker.asked) != 0 {
			t.Errorf("%s, whose account works no more: asked %q, want nothing", owner, s.asker.asked)
		}
		s.broker.connected(owner, "notion", storage.Active)
		boxes, _ := toolBoxes(s.get(servicesURL).Body.String())
		if len(boxes) != len(notionTools) || !slices.Equal(s.asker.asked, []string{want}) {
			t.Errorf("%s: boxes %q, asked %q, want %q", owner, boxes, s.asker.asked, want)
		}
	}
}

// What somebody ticked is not taken for nothing where nobody can tell any more what the
// ticks stand for.
func TestTicksThatNobodyCanRead(t *testing.T) {
	s := connecting(t)
	s.lists("notion", notionTools)
	s.broker.connected(storage.FlowOwner(s.mustOpenFlow().ID), "notion", storage.Active)
	boxes, _ := toolBoxes(s.get(servicesURL).Body.String())
	form := url.Values{"resource": {atNotion}, "tools:notion": {"ticked"}, "tool": {boxes["search"]}}
	s.asker.silent = true
	w := s.submits(form)
	if w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Location"), "error=no_tools") {
		t.Fatalf("status %d, %q", w.Code, w.Header().Get("Location"))
	}
	if page := s.get(w.Header().Get("Location")).Body.String(); !strings.Contains(page, "so what you ticked was not taken") {
		t.Errorf("it is not said:\n%s", page)
	}
	s.asker.silent = false
	if w = s.submits(form); w.Code != http.StatusSeeOther || !s.decided() {
		t.Fatalf("status %d: %s", w.Code, shows(w))
	}
	if got, want := s.onlyGrant().Chosen, []storage.Choice{{Resource: atNotion, Tools: []string{"search"}, Others: storage.NoOthers}}; !reflect.DeepEqual(got, want) {
		t.Errorf("chosen %+v, want %+v", got, want)
	}
}

// The same on the account page, where nothing is asked for without a tick.
func TestTicksThatNobodyCanReadOnTheAccountPage(t *testing.T) {
	s := home(t, alice())
	s.lists("notion", notionTools)
	s.broker.connected(alice().Subject, "notion", storage.Active)
	mine := letIn("grant-1", alice())
	s.approved(mine)
	boxes, _ := toolBoxes(s.get(accountPath).Body.String())
	s.asker.silent, s.asker.asked = true, nil
	w := s.act(choosePath, "grant", "grant-1", "tools:notion", "ticked", "tool", boxes["search"])
	if !strings.Contains(w.Header().Get("Location"), "error=no_tools") || len(s.asker.asked) == 0 {
		t.Errorf("status %d, %q, asked %q", w.Code, w.Header().Get("Location"), s.asker.asked)
	}
	if g, err := s.store.Grant(t.Context(), "grant-1", s.clock.Now()); err != nil || g.Chosen != nil {
		t.Errorf("chosen %+v, %v, want nothing", g.Chosen, err)
	}
	s.asker.asked = nil
	if s.act(choosePath, "grant", "grant-1", "tools:notion", "reading"); len(s.asker.asked) != 0 {
		t.Errorf("asked %q, want nothing", s.asker.asked)
	}
}

// What somebody saw and left without a mark is not allowed as a tool that is new, where
// the list is not known, or shorter, when their form comes.
func TestToolsThatNobodyTickedStayOut(t *testing.T) {
	for _, others := range []string{"all", "read_only"} {
		for name, lists := range map[string]map[string]access.Annotations{"no list": nil, "a shorter one": {"search": saysReads}} {
			s := connecting(t)
			s.lists("notion", notionTools)
			s.broker.connected(storage.FlowOwner(s.mustOpenFlow().ID), "notion", storage.Active)
			page := s.get(servicesURL).Body.String()
			boxes, _ := toolBoxes(page)
			known, instead := s.asker.offers, catalog.New()
			for tool, said := range lists {
				instead.Of(s.as.Config().Issuer, "notion").Note(access.Tool, []byte(tool), said, nil)
			}
			form := url.Values{
				"resource": {atNotion}, "tools:notion": {"ticked"}, "others:notion": {others}, "shown:notion": {shownTicks(page, "notion")},
			}
			for _, tick := range []string{"", boxes["search"]} {
				form["tool"] = []string{tick}
				s.asker.offers = instead
				if w := s.submits(form); w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Location"), "error=no_tools") {
					t.Fatalf("%s, others %s, ticked %q: status %d, to %q, want the page again", name, others, tick, w.Code, w.Header().Get("Location"))
				}
			}
			s.asker.offers = known
			want := []storage.Choice{{
				Resource: atNotion, Tools: []string{"search"}, Without: []string{"create_page", "delete_page", "fetch", "mystery"}, Others: storage.Others(others),
			}}
			if w := s.submits(form); w.Code != http.StatusSeeOther || !s.decided() {
				t.Fatalf("status %d: %s", w.Code, shows(w))
			}
			if got := s.onlyGrant().Chosen; !reflect.DeepEqual(got, want) {
				t.Errorf("%s, others %s: chosen %+v, want %+v", name, others, got, want)
			}
		}
	}
}

// The same on the account page, where what was chosen before can stay as it is while the
// server is silent.
func TestToolsThatNobodyTickedStayOutOnTheAccountPage(t *testing.T) {
	s := home(t, alice())
	s.lists("notion", notionTools)
	s.broker.connected(alice().Subject, "notion", storage.Active)
	before := []storage.Choice{{Resource: atNotion, Tools: []string{"search"}, Without: []string{"delete_page"}, Others: storage.AllOthers}}
	mine := letIn("grant-1", alice())
	mine.Chosen = before
	s.approved(mine)
	page := s.get(accountPath).Body.String()
	boxes, _ := toolBoxes(page)
	form := []string{"grant", "grant-1", "tools:notion", "ticked", "others:notion", "all", "tool", boxes["search"], "shown:notion"}
	chosen := func() []storage.Choice {
		t.Helper()
		g, err := s.store.Grant(t.Context(), "grant-1", s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return g.Chosen
	}
	s.asker.silent = true
	if w := s.act(choosePath, append(form, shownTicks(page, "notion"), "tool", boxes["fetch"])...); !strings.Contains(w.Header().Get("Location"), "error=no_tools") {
		t.Errorf("status %d, %q, want the page again", w.Code, w.Header().Get("Location"))
	}
	if got := chosen(); !reflect.DeepEqual(got, before) {
		t.Errorf("chosen %+v, want %+v as before", got, before)
	}
	again := s.get(accountPath).Body.String()
	if w := s.act(choosePath, append(form, shownTicks(again, "notion"), "lasts", "1h0m0s")...); strings.Contains(w.Header().Get("Location"), "error=") {
		t.Errorf("nothing but the end is changed, and the answer is %q", w.Header().Get("Location"))
	}
	if got := chosen(); !reflect.DeepEqual(got, before) {
		t.Errorf("chosen %+v, want %+v as before", got, before)
	}
}

// Where rules take tools away, no page says that there are all of them.
func TestWordsWhereRulesTakeToolsAway(t *testing.T) {
	s := newSite(t, func(c *config.Site) {
		c.Servers[0].Rules = new(access.Rules)
		if err := c.Servers[0].Rules.Add(access.Tool, []access.Rule{{Deny: []string{"delete_*"}}, {Allow: []string{"*"}}}); err != nil {
			t.Fatal(err)
		}
	}).identified(alice())
	page := s.get(servicesURL).Body.String()
	for text, want := range map[string]int{
		"Use all tools of it that you may use, and read": 1, "Use all its tools": 1, "All tools that you may use, also": 1, "All tools, also": 1,
	} {
		if got := strings.Count(page, text); got != want {
			t.Errorf("%q is on the page %d times, want %d", text, got, want)
		}
	}
}
