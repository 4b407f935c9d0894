package consent

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	saysReads   = access.Known | access.ReadOnly
	saysChanges = access.Known | access.NotDestructive
)

// lists has a server list tools, by their names.
func (s *site) lists(server string, tools map[string]access.Annotations) {
	for name, said := range tools {
		s.offers.Of(s.as.Config().Issuer, server).Note(access.Tool, []byte(name), said, []byte(`{"name":"x"}`))
	}
}

var notionTools = map[string]access.Annotations{
	"search": saysReads, "fetch": saysReads, "create_page": saysChanges, "delete_page": access.Known, "mystery": 0,
}

// toolBoxes returns the boxes of tools on a page, by what is shown: its value, and
// whether it has a tick.
func toolBoxes(page string) (values map[string]string, ticked []string) {
	values = map[string]string{}
	for _, box := range regexp.MustCompile(`name="tool" value="([^"]*)"( checked)?> <label[^>]*><bdi><code>([^<]*)</code>`).FindAllStringSubmatch(page, -1) {
		name := html.UnescapeString(box[3])
		if values[name] = box[1]; box[2] != "" {
			ticked = append(ticked, name)
		}
	}
	slices.Sort(ticked)
	return values, ticked
}

// shownTicks returns what a page says of a server: the ticks that are on it.
func shownTicks(page, server string) string {
	_, rest, _ := strings.Cut(page, `name="shown:`+server+`" value="`)
	ticks, _, _ := strings.Cut(rest, `"`)
	return ticks
}

// onlyGrant returns the one grant.
func (s *site) onlyGrant() storage.Grant {
	s.t.Helper()
	grants, _, err := s.store.Grants(s.t.Context(), "", 100, s.clock.Now())
	if err != nil || len(grants) != 1 {
		s.t.Fatalf("grants %+v, %v", grants, err)
	}
	return grants[0]
}

func TestToolsOnThePage(t *testing.T) {
	s := newSite(t).identified(alice())
	page := s.get(servicesURL).Body.String()
	for _, want := range []string{
		`<summary>Which tools may the application use?</summary>`, `name="tools:notion" value="all" checked`, `name="tools:github" value="all" checked`,
		`name="tools:notion" value="reading">`, "It has not said in time which tools it has.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("nobody knows the tools: no %q on the page", want)
		}
	}
	if strings.Contains(page, `value="ticked"`) || strings.Contains(page, "<details class=\"card\" open") {
		t.Errorf("tools that nobody knows can be ticked, or the section is open:\n%s", page)
	}
	s.lists("notion", notionTools)
	page = s.get(servicesURL).Body.String()
	at := -1
	for _, want := range []string{
		`value="ticked">`, ">Read</p>", "<code>fetch</code>", "<code>search</code>", ">Change or add</p>", "<code>create_page</code>",
		">May delete or overwrite</p>", "<code>delete_page</code>", "<code>mystery</code>", `<option value="none" selected>`,
	} {
		next := strings.Index(page, want)
		if next <= at {
			t.Errorf("%q is not on the page, or not in its place:\n%s", want, page)
		}
		at = next
	}
	if _, ticked := toolBoxes(page); !slices.Equal(ticked, []string{"fetch", "search"}) {
		t.Errorf("ticked are %q, want what reads", ticked)
	}
}

// What a server calls its tools is shown so that people see what is in it.
func TestHostileToolNames(t *testing.T) {
	s := newSite(t).identified(alice())
	long := strings.Repeat("x", storage.MaxChosenLength)
	s.lists("notion", map[string]access.Annotations{
		`<script>alert(1)</script>`: saysReads, "re\u200bad": saysReads, "\u202eetirw": saysReads, "a\\b\n": saysReads,
		"z" + strings.Repeat("\u0301", 9): saysReads, long: saysReads, long + "x": saysReads, "\xff": saysReads, "": saysReads, "\u2800": saysReads,
	})
	page := s.get(servicesURL).Body.String()
	got, _ := toolBoxes(page)
	want := []string{
		`<script>alert(1)</script>`, `re\u{200b}ad`, `\u{202e}etirw`, `a\\b\u{a}`, "z\u0301\u0301\u0301" + strings.Repeat(`\u{301}`, 6), strings.Repeat("x", 80) + "…", `\u{2800}`,
	}
	for _, name := range want {
		if got[name] == "" {
			t.Errorf("no %q on the page", name)
		}
	}
	if len(got) != len(want) || strings.Contains(page, "<script>") {
		t.Errorf("boxes %q, want %q", got, want)
	}
	var ticks []string
	for _, tick := range got {
		ticks = append(ticks, tick)
	}
	s.chooses(url.Values{"tools:notion": {"ticked"}, "tool": ticks})
	if chosen := s.onlyGrant().Chosen; len(chosen) != 1 || !slices.Contains(chosen[0].Tools, "re\u200bad") || !slices.Contains(chosen[0].Tools, "a\\b\n") || len(chosen[0].Tools) != len(want) {
		t.Errorf("chosen %q", chosen)
	}
}

// chooses approves Notion with what a form says besides.
func (s *site) chooses(form url.Values) {
	s.t.Helper()
	form["resource"] = []string{atNotion}
	if w := s.submits(form); w.Code != http.StatusSeeOther || !s.decided() {
		s.t.Fatalf("status %d: %s", w.Code, shows(w))
	}
}

func TestChosenOnThePage(t *testing.T) {
	for name, tt := range map[string]struct {
		tools, others string
		ticked        []string
		want          []storage.Choice
	}{
		"nothing said":            {"", "", nil, nil},
		"all":                     {"all", "none", []string{"search"}, nil},
		"no way there is":         {"some", "none", nil, nil},
		"what reads":              {"reading", "all", nil, []storage.Choice{{Resource: atNotion, Others: storage.ReadOnlyOthers}}},
		"some, as they are now":   {"ticked", "none", []string{"search", "create_page"}, []storage.Choice{{Resource: atNotion, Tools: []string{"create_page", "search"}, Others: storage.NoOthers}}},
		"some, and the unheard":   {"ticked", "anything", []string{"search"}, []storage.Choice{{Resource: atNotion, Tools: []string{"search"}, Others: storage.NoOthers}}},
		"none":                    {"ticked", "none", nil, []storage.Choice{{Resource: atNotion, Others: storage.NoOthers}}},
		"some, and what is new":   {"ticked", "all", []string{"search", "fetch", "create_page"}, []storage.Choice{{Resource: atNotion, Tools: []string{"create_page", "fetch", "search"}, Without: []string{"delete_page", "mystery"}, Others: storage.AllOthers}}},
		"some, and what reads":    {"ticked", "read_only", []string{"mystery"}, []storage.Choice{{Resource: atNotion, Tools: []string{"mystery"}, Without: []string{"create_page", "delete_page", "fetch", "search"}, Others: storage.ReadOnlyOthers}}},
		"what is not on the page": {"ticked", "none", []string{"AAAAAAAA", "x"}, []storage.Choice{{Resource: atNotion, Others: storage.NoOthers}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t).identified(alice())
			s.lists("notion", notionTools)
			page := s.get(servicesURL).Body.String()
			boxes, _ := toolBoxes(page)
			form := url.Values{"shown:notion": {shownTicks(page, "notion")}}
			for field, value := range map[string]string{"tools:notion": tt.tools, "others:notion": tt.others} {
				if value != "" {
					form.Set(field, value)
				}
			}
			for _, name := range tt.ticked {
				tick := boxes[name]
				if tick == "" {
					tick = name
				}
				form.Add("tool", tick)
			}
			s.chooses(form)
			if got := s.onlyGrant().Chosen; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestChosenLifetime(t *testing.T) {
	for lasts, want := range map[string]time.Duration{
		"": 24 * time.Hour, "1h0m0s": time.Hour, "24h0m0s": 24 * time.Hour, "168h0m0s": 24 * time.Hour, "-1h": 24 * time.Hour, "2h0m0s": 24 * time.Hour, "soon": 24 * time.Hour,
	} {
		s := newSite(t).identified(alice())
		s.chooses(url.Values{"lasts": {lasts}})
		if g := s.onlyGrant(); g.AbsoluteExpiresAt.Sub(g.CreatedAt) != want || g.ExpiresAt.After(g.AbsoluteExpiresAt) {
			t.Errorf("%q: it lasts %v, want %v", lasts, g.AbsoluteExpiresAt.Sub(g.CreatedAt), want)
		}
	}
	s := newSite(t)
	s.asks(registered("Cursor", "https://app.example/cb", "authorization_code", "refresh_token"), nil)
	s.identified(alice())
	if page := s.get(servicesURL).Body.String(); !strings.Contains(page, `<option value="720h0m0s">30 days`) || !strings.Contains(page, `<option value="" selected>As long as possible`) {
		t.Errorf("no choice of how long:\n%s", page)
	}
	s.chooses(url.Values{"lasts": {"720h0m0s"}})
	if g := s.onlyGrant(); g.AbsoluteExpiresAt.Sub(g.CreatedAt) != 30*24*time.Hour {
		t.Errorf("it lasts %v", g.AbsoluteExpiresAt.Sub(g.CreatedAt))
	}
}

// What is chosen stays so while the person connects an account or left something out.
func TestToolChoiceStays(t *testing.T) {
	s := connecting(t)
	s.lists("notion", notionTools)
	s.broker.connected(storage.FlowOwner(s.mustOpenFlow().ID), "notion", storage.Active)
	boxes, _ := toolBoxes(s.get(servicesURL).Body.String())
	fields := []string{"tools:notion", "ticked", "others:notion", "all", "tool", boxes["delete_page"], "tools:github", "reading", "lasts", "1h0m0s"}
	back := func(location string) string {
		t.Helper()
		to, err := url.Parse(location)
		if err != nil || to.Query().Get("tools") == "" {
			t.Fatalf("%q carries no tools: %v", location, err)
		}
		return location
	}
	s.pressConnect("notion", fields...)
	for name, w := range map[string]string{
		"no server": s.post(submitPath, append(fields, "decision", "approve", "identity", identity.FormValue(alice()))...).Header().Get("Location"),
		"connected": s.broker.started.ReturnTo,
	} {
		page := s.get(back(w)).Body.String()
		_, ticked := toolBoxes(page)
		for _, want := range []string{`name="tools:notion" value="ticked" checked`, `name="tools:github" value="reading" checked`, `<option value="all" selected>`, `<option value="1h0m0s" selected>`, `<details class="card" open>`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %q on the page", name, want)
			}
		}
		if !slices.Equal(ticked, []string{"delete_page"}) {
			t.Errorf("%s: ticked are %q", name, ticked)
		}
	}
}

// Whoever comes back finds what they chose the last time, with the same client alone,
// and can choose again what the server does not list now.
func TestLastChoiceIsProposed(t *testing.T) {
	s := newSite(t)
	s.lists("notion", notionTools)
	client := registered("Cursor", "https://app.example/cb", "authorization_code")
	s.asks(client, nil)
	f := s.mustOpenFlow()
	last := letIn("grant-1", alice())
	last.ClientID, last.Resources = f.Client.ID, []string{atNotion}
	last.Chosen = []storage.Choice{{Resource: atNotion, Tools: []string{"delete_page", "gone"}, Without: []string{"search"}, Others: storage.ReadOnlyOthers}}
	s.approved(last)
	s.identified(alice())
	page := s.get(servicesURL).Body.String()
	boxes, ticked := toolBoxes(page)
	if !slices.Equal(ticked, []string{"delete_page", "gone"}) || !strings.Contains(page, `value="ticked" checked`) || !strings.Contains(page, `<option value="read_only" selected>`) {
		t.Errorf("proposed are %q:\n%s", ticked, page)
	}
	s.chooses(url.Values{"tools:notion": {"ticked"}, "tool": {boxes["gone"]}})
	grants, err := s.as.Grants.List(t.Context(), alice().Subject)
	if err != nil || len(grants) != 2 || !reflect.DeepEqual(grants[1].Chosen, []storage.Choice{{Resource: atNotion, Tools: []string{"gone"}, Others: storage.NoOthers}}) {
		t.Errorf("grants %+v, %v", grants, err)
	}
	s.asks(client, nil) // another client of the same name
	s.identified(alice())
	if page := s.get(servicesURL).Body.String(); !strings.Contains(page, `name="tools:notion" value="all" checked`) {
		t.Error("another client is proposed what the first has")
	}
}

// Nobody is offered tools that they may not use.
func TestToolsOfWhomRulesLeaveSome(t *testing.T) {
	s := newSite(t, func(c *config.Site) {
		rules := new(access.Rules)
		if err := rules.Add(access.Tool, []access.Rule{{Deny: []string{"delete_*"}}, {Allow: []string{"*"}, Annotations: []string{"read_only"}}}); err != nil {
			t.Fatal(err)
		}
		c.Servers[0].Rules = rules
		nothing := new(access.Rules)
		if err := nothing.Add(access.Tool, []access.Rule{{Deny: []string{"*"}}}); err != nil {
			t.Fatal(err)
		}
		c.Servers[1].Rules = nothing
	}).identified(alice())
	s.lists("notion", notionTools)
	page := s.get(servicesURL).Body.String()
	if boxes, _ := toolBoxes(page); len(boxes) != 2 || strings.Contains(page, `name="tools:github"`) {
		t.Errorf("boxes %q:\n%s", boxes, page)
	}
}

// A page has a bounded number of boxes, what reads first.
func TestToolBoxesAreBounded(t *testing.T) {
	s := newSite(t).identified(alice())
	many := map[string]access.Annotations{}
	for i := range 600 {
		many[fmt.Sprintf("tool-%03d", i)] = access.Known
	}
	many["zz_reads"] = saysReads
	s.lists("notion", many)
	page := s.get(servicesURL).Body.String()
	boxes, ticked := toolBoxes(page)
	if len(boxes) != storage.MaxChosen/2 || !slices.Equal(ticked, []string{"zz_reads"}) || !strings.Contains(page, "351 more tools have no box.") {
		t.Errorf("%d boxes, ticked %q", len(boxes), ticked)
	}
	form := url.Values{"tools:notion": {"ticked"}, "others:notion": {"all"}, "shown:notion": {shownTicks(page, "notion")}}
	for _, tick := range boxes {
		form.Add("tool", tick)
	}
	s.chooses(form)
	if got := s.onlyGrant().Chosen; len(got) != 1 || len(got[0].Tools) != storage.MaxChosen/2 {
		t.Errorf("chosen %+v", got)
	}
}

// On the account page, people see what they chose, and change it.
func TestToolsOnTheAccountPage(t *testing.T) {
	s := home(t, alice())
	s.lists("notion", notionTools)
	s.broker.connected(alice().Subject, "notion", storage.Active)
	mine, others := letIn("grant-1", alice()), letIn("grant-2", userIdentity("bob"))
	mine.Resources = append(mine.Resources, atGithub)
	gone := storage.Choice{Resource: "https://gone.example/mcp", Tools: []string{"x"}, Others: storage.NoOthers}
	mine.Chosen = []storage.Choice{{Resource: atNotion, Tools: []string{"search"}, Others: storage.ReadOnlyOthers}, gone}
	s.approved(mine, others)
	page := s.get(accountPath).Body.String()
	for _, want := range []string{
		"<li>Notion: 1 that you chose, and others that read</li>", "Ends on", `name="tools:notion" value="ticked" checked`, `name="tools:github" value="all" checked`,
		`<option value="" selected>As it is`, `<option value="1h0m0s">1 hour`, `action="` + accountFormsPath + `choose"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page:\n%s", want, page)
		}
	}
	boxes, _ := toolBoxes(page)
	choose := func(form ...string) storage.Grant {
		t.Helper()
		if w := s.act(choosePath, append([]string{"grant", "grant-1"}, form...)...); w.Code != http.StatusSeeOther {
			t.Fatalf("status %d: %s", w.Code, shows(w))
		}
		g, err := s.store.Grant(t.Context(), "grant-1", s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	before := mine.Chosen[0]
	for _, tt := range []struct {
		form []string
		want []storage.Choice
	}{
		{[]string{"tools:github", "reading"}, []storage.Choice{before, gone, {Resource: atGithub, Others: storage.ReadOnlyOthers}}},
		{[]string{"tools:notion", "ticked", "tool", boxes["fetch"], "others:notion", "none", "tools:github", "all"}, []storage.Choice{{Resource: atNotion, Tools: []string{"fetch"}, Others: storage.NoOthers}, gone}},
		{[]string{"tools:notion", "all", "tools:github", "all"}, []storage.Choice{gone}},
	} {
		if g := choose(tt.form...); !reflect.DeepEqual(g.Chosen, tt.want) {
			t.Errorf("%q: got %+v\nwant %+v", tt.form, g.Chosen, tt.want)
		}
	}
	if g := choose("lasts", "1h0m0s"); !g.AbsoluteExpiresAt.Equal(s.clock.Now().Add(time.Hour)) || !g.ExpiresAt.Equal(g.AbsoluteExpiresAt) {
		t.Errorf("it ends at %v, which is in %v", g.AbsoluteExpiresAt, g.AbsoluteExpiresAt.Sub(s.clock.Now()))
	}
	if g := choose("lasts", "24h0m0s"); !g.AbsoluteExpiresAt.Equal(s.clock.Now().Add(time.Hour)) {
		t.Error("it ends later than it would have")
	}
	for _, id := range []string{"grant-2", "grant-3", ""} {
		if w := s.act(choosePath, "grant", id, "tools:notion", "reading"); w.Code != http.StatusNotFound && w.Code != http.StatusGone && w.Code != http.StatusBadRequest {
			t.Errorf("%q, which is not theirs: status %d", id, w.Code)
		}
	}
	if g, err := s.store.Grant(t.Context(), "grant-2", s.clock.Now()); err != nil || g.Chosen != nil {
		t.Errorf("somebody else's grant: %+v, %v", g.Chosen, err)
	}
}
