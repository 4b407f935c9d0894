package consent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/dashboard"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

const dashboardAt = "https://dash.example.com/oauth/authorize"

// dashboardWalk is a site to which a dashboard sends people, and the dashboard.
type dashboardWalk struct {
	*walk
	dashboard *oauthtest.Dashboard
}

func newDashboardWalk(t *testing.T, consent string) *dashboardWalk {
	t.Helper()
	return newDashboardWalkBeside(t, consent, identity.ByVirtualKey(nil))
}

// newDashboardWalkBeside is one with other ways to sign in.
func newDashboardWalkBeside(t *testing.T, consent string, others ...identity.Method) *dashboardWalk {
	t.Helper()
	d := oauthtest.NewDashboard(t, "https://dash.example.com", "mcp")
	w := newWalkBy(t, memstore.New(), func(c *config.Site) {
		c.Identities = []config.Identity{{Kind: identity.Dashboard, Dashboard: &config.Dashboard{
			AuthorizeURL: dashboardAt, Issuer: d.Issuer, Audience: d.Audience, Consent: consent,
			Trust: dashboard.Trust{Issuer: d.Issuer, Audience: d.Audience, Keys: d.Keys(), Claims: []string{"email"}},
		}}}
		c.SignIn = append(identity.Methods{identity.ByDashboard(identity.AtDashboard{AuthorizeURL: dashboardAt, Issuer: d.Issuer})}, others...)
	})
	d.Now = w.clock.Now
	return &dashboardWalk{w, d}
}

// sent presses the button that leads to the dashboard, and returns the login that
// the dashboard is told.
func (b *browser) sent(page *httptest.ResponseRecorder, form string) (login string) {
	b.t.Helper()
	return b.loginOf(b.press(page, form, nil))
}

// loginOf returns the login of an answer that sends the browser to the dashboard.
func (b *browser) loginOf(w *httptest.ResponseRecorder) string {
	b.t.Helper()
	mustAnswer(b.t, w, http.StatusSeeOther)
	query, ok := strings.CutPrefix(w.Header().Get("Location"), dashboardAt+"?")
	values, err := url.ParseQuery(query)
	if !ok || err != nil || len(values) != 1 || values.Get("login") == "" {
		b.t.Fatalf("sent to %q", w.Header().Get("Location"))
	}
	return values.Get("login")
}

// vouches has the dashboard say who the person of a login is, and returns where
// their browser is sent.
func (w *dashboardWalk) vouches(login, subject string) (back string) {
	w.t.Helper()
	answer := w.says(login, subject)
	var a struct {
		RedirectTo string `json:"redirect_to"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &a); err != nil || answer.Code != http.StatusOK {
		w.t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	back, ours := strings.CutPrefix(a.RedirectTo, "https://mcp.example.com")
	if !ours {
		w.t.Fatalf("redirect_to is %s", a.RedirectTo)
	}
	return back
}

func (w *dashboardWalk) says(login, subject string) *httptest.ResponseRecorder {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"login": login})
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/oauth/login", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.dashboard.Token(w.t, subject, map[string]any{"email": subject + "@acme.com"}))
	answer := httptest.NewRecorder()
	w.mux.ServeHTTP(answer, r)
	return answer
}

const (
	dashboardForm        = flowFormsPath + "dashboard"
	dashboardAccountForm = accountFormsPath + "dashboard"
)

func TestSignInAtDashboard(t *testing.T) {
	w := newDashboardWalk(t, config.ConsentHere)
	b := w.browser()
	login := b.sent(b.open(b.start()), dashboardForm)
	services := b.follow(b.open(w.vouches(login, "jane")))
	for _, want := range []string{"jane@acme.com", "signed in at dash.example.com", "Allow and finish"} {
		if !strings.Contains(services.Body.String(), want) {
			t.Errorf("no %q on the page:\n%s", want, shows(services))
		}
	}
	if code := answer(t, b.press(services, submitPath, approveBoth)).Get("code"); code == "" {
		t.Error("no code for the client")
	}
	grants, err := b.as.Grants.List(t.Context(), "dashboard:jane")
	if err != nil || len(grants) != 1 {
		t.Errorf("grants %+v, %v", grants, err)
	}
}

// Where people cannot sign in otherwise, clients lead straight to the dashboard. Who
// comes back without its word reads that, and is not sent there again.
func TestOnlyDashboard(t *testing.T) {
	w := newDashboardWalkBeside(t, config.ConsentHere)
	b := w.browser()
	start := b.start()
	services := b.follow(b.open(w.vouches(b.loginOf(b.open(start)), "jane")))
	if page := services.Body.String(); !strings.Contains(page, "Allow and finish") || !strings.Contains(page, "jane@acme.com") {
		t.Errorf("page:\n%s", shows(services))
	}
	other := w.browser()
	login := other.loginOf(other.open(other.start()))
	page := other.follow(other.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}}.Encode()))
	mustAnswer(t, page, http.StatusOK)
	if !strings.Contains(page.Body.String(), "You came back without being signed in") {
		t.Errorf("page:\n%s", shows(page))
	}
}

// Also where people approve at the dashboard: there they still connect accounts
// here.
func TestSignInAtDashboardOnTheAccountPage(t *testing.T) {
	for _, consent := range []string{config.ConsentHere, config.ConsentThere} {
		w := newDashboardWalk(t, consent)
		b := w.browser()
		login := b.sent(b.open(accountPath), dashboardAccountForm)
		account := b.follow(b.open(w.vouches(login, "jane")))
		if !strings.Contains(account.Body.String(), "jane@acme.com") {
			t.Errorf("consent %s, page:\n%s", consent, shows(account))
		}
	}
}

// Nobody is signed in by what belongs to another browser, another login or another
// person, whoever began it and whoever is led to it.
func TestSignInAtDashboardForged_I04_J01(t *testing.T) {
	for name, tt := range map[string]struct {
		// come is what happens to a browser that was sent to the dashboard for login;
		// it returns where somebody is led.
		come   func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder
		status int
		who    string // is signed in afterwards; nobody if empty
	}{
		"a victim is led to a login that the attacker began": {func(w *dashboardWalk, _ *browser, login string) *httptest.ResponseRecorder {
			return w.browser().open(w.vouches(login, "victim")) // in the victim's browser, signed in at the dashboard
		}, 403, ""},
		"the attacker goes on with a login that the victim answered": {func(w *dashboardWalk, attacker *browser, login string) *httptest.ResponseRecorder {
			w.vouches(login, "victim")
			return attacker.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}}.Encode())
		}, 303, ""},
		"with a code of their own for it": {func(w *dashboardWalk, attacker *browser, login string) *httptest.ResponseRecorder {
			w.vouches(login, "victim")
			other := w.browser()
			theirs := w.vouches(other.sent(other.open(other.start()), dashboardForm), "attacker")
			code := answerOf(w.t, theirs).Get("code")
			return attacker.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}, "code": {code}}.Encode())
		}, 303, ""},
		"a victim is led to the code of the attacker's login": {func(w *dashboardWalk, victim *browser, _ string) *httptest.ResponseRecorder {
			other := w.browser()
			return victim.open(w.vouches(other.sent(other.open(other.start()), dashboardForm), "attacker"))
		}, 403, ""},
		"the code of another login with the state of one's own": {func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			other := w.browser()
			code := answerOf(w.t, w.vouches(other.sent(other.open(other.start()), dashboardForm), "attacker")).Get("code")
			return victim.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}, "code": {code}}.Encode())
		}, 303, ""},
		"a made-up code": {func(_ *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			return victim.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}, "code": {"guess"}}.Encode())
		}, 303, ""},
		"a code that came late": {func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			back := w.vouches(login, "jane")
			w.clock.Advance(5*time.Minute + time.Second)
			return victim.open(back)
		}, 303, ""},
		"a login that ended": {func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			w.clock.Advance(identity.LoginLifetime)
			return victim.open(w.vouches(login, "jane"))
		}, 400, ""},
		"the same answer twice": {func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			back := w.vouches(login, "jane")
			mustAnswer(w.t, victim.open(back), http.StatusSeeOther)
			return victim.open(back)
		}, 403, "jane"},
		"the person themselves": {func(w *dashboardWalk, victim *browser, login string) *httptest.ResponseRecorder {
			return victim.open(w.vouches(login, "jane"))
		}, 303, "jane"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDashboardWalk(t, config.ConsentHere)
			b := w.browser()
			page := b.open(b.start())
			flow := hiddenFields(t, page, dashboardForm).Get("flow_id")
			login := b.sent(page, dashboardForm)
			mustAnswer(t, tt.come(w, b, login), tt.status)
			shown := b.open(withQuery(servicesPath, "flow_id", flow))
			if tt.who == "" && shown.Code == http.StatusOK || tt.who != "" && !strings.Contains(shown.Body.String(), tt.who+"@acme.com") {
				t.Errorf("afterwards %d, want %q to be signed in:\n%s", shown.Code, tt.who, shows(shown))
			}
		})
	}
}

// answerOf returns the parameters of an address.
func answerOf(t *testing.T, back string) url.Values {
	t.Helper()
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// The first who answers a login is who it is for: whoever learns its name later,
// such as from a log of the dashboard, cannot have the browser be somebody else.
func TestLoginAtDashboardIsAnsweredOnce(t *testing.T) {
	w := newDashboardWalk(t, config.ConsentHere)
	b := w.browser()
	login := b.sent(b.open(b.start()), dashboardForm)
	back := w.vouches(login, "jane")
	if again := w.says(login, "attacker"); again.Code != http.StatusConflict || strings.Contains(again.Body.String(), "redirect_to") {
		t.Errorf("%d %s", again.Code, again.Body)
	}
	if page := b.follow(b.open(back)); !strings.Contains(page.Body.String(), "jane@acme.com") {
		t.Errorf("page:\n%s", shows(page))
	}
}

// Whoever comes back without being signed in reads so, and can try again.
func TestSignInAtDashboardFails(t *testing.T) {
	w := newDashboardWalk(t, config.ConsentHere)
	b := w.browser()
	login := b.sent(b.open(b.start()), dashboardForm)
	page := b.follow(b.open(identity.CallbackPath + "dashboard?" + url.Values{"state": {login}, "error": {"access_denied"}}.Encode()))
	if !strings.Contains(page.Body.String(), "You came back without being signed in") || !strings.Contains(page.Body.String(), "Sign in at dash.example.com") {
		t.Errorf("page:\n%s", shows(page))
	}
}
