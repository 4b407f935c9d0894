package consent

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// elsewhere is a site at which people sign in: a method that redirects.
type elsewhere struct {
	kind     identity.Kind
	finished []identity.Answer
	err      error // of the next step
}

const elsewhereAt = "https://login.example/authorize?"

func (e *elsewhere) method() identity.Method {
	return identity.Method{
		Kind: e.kind, Form: string(e.kind), ExcludesStrangers: true, NameVerified: true, Label: "signed in at login.example",
		Messages: map[string]string{"login_denied": "login.example did not let you in."},
		Prompt: func(*http.Request, bool) identity.Prompt {
			return identity.Prompt{Title: "Account of the company", Hint: "You are sent to login.example.", Button: "Sign in there"}
		},
		Start: func(_ context.Context, l identity.Login) (identity.Redirect, error) {
			query := url.Values{"state": {l.State}, "redirect_uri": {l.CallbackURL}}
			return identity.Redirect{URL: elsewhereAt + query.Encode(), Secret: []byte("verifier of " + l.State)}, e.err
		},
		Finish: func(_ context.Context, a identity.Answer) (identity.Person, error) {
			e.finished = append(e.finished, a)
			name := a.Query.Get("code")
			if string(a.Secret) != "verifier of "+a.Query.Get("state") {
				return identity.Person{}, errors.New("the secret is another login's")
			}
			if name == "" {
				return identity.Person{}, &identity.Denied{Code: "login_denied"}
			}
			id := storage.Identity{Kind: string(e.kind), Subject: string(e.kind) + ":" + name, Name: name}
			return identity.Person{Identity: id}, e.err
		},
	}
}

// loginSite is a site to which people sign in at e, or by what they say.
func loginSite(t *testing.T, e *elsewhere, more ...identity.Method) *walk {
	t.Helper()
	return newWalkBy(t, memstore.New(), func(c *config.Site) {
		c.SignIn = append(identity.Methods{e.method(), identity.ByUserID()}, more...)
	})
}

const companyForm = flowFormsPath + "company"

// leaves presses the button of a page that sends the browser elsewhere, and
// returns the answer with which the browser comes back.
func (b *browser) leaves(page *httptest.ResponseRecorder, form, code string) (back string) {
	b.t.Helper()
	w := b.press(page, form, nil)
	mustAnswer(b.t, w, http.StatusSeeOther)
	return b.answerOf(w, code)
}

// answerOf returns the answer with which a browser comes back that was sent
// elsewhere.
func (b *browser) answerOf(w *httptest.ResponseRecorder, code string) (back string) {
	b.t.Helper()
	query, ok := strings.CutPrefix(w.Header().Get("Location"), elsewhereAt)
	sent, err := url.ParseQuery(query)
	if !ok || err != nil {
		b.t.Fatalf("sent to %q", w.Header().Get("Location"))
	}
	answer := url.Values{"state": sent["state"], "code": {code}}
	path, ok := strings.CutPrefix(sent.Get("redirect_uri"), "https://mcp.example.com")
	if !ok || path != identity.CallbackPath+"company" {
		b.t.Fatalf("comes back to %q", sent.Get("redirect_uri"))
	}
	return path + "?" + answer.Encode()
}

func TestLoginElsewhereInAFlow(t *testing.T) {
	e := &elsewhere{kind: "company"}
	b := loginSite(t, e).browser()
	page := b.open(b.start())
	if !strings.Contains(page.Body.String(), "Account of the company") || len(b.cookies) != 1 {
		t.Fatalf("cookies %v, page:\n%s", b.cookies, shows(page))
	}
	back := b.leaves(page, companyForm, "carol")
	if len(b.cookies) != 2 {
		t.Errorf("cookies %v, want the flow's and the login's", b.cookies)
	}
	services := b.follow(b.open(back))
	for _, want := range []string{"<strong>carol</strong>", "signed in at login.example", "mark good", "Allow and finish"} {
		if !strings.Contains(services.Body.String(), want) {
			t.Errorf("no %q on the page:\n%s", want, shows(services))
		}
	}
	if len(e.finished) != 1 || e.finished[0].CallbackURL != "https://mcp.example.com"+identity.CallbackPath+"company" {
		t.Errorf("finished with %+v", e.finished)
	}
	if len(b.cookies) != 1 {
		t.Errorf("cookies %v, want the flow's alone", b.cookies)
	}
	if code := answer(t, b.press(services, submitPath, approveBoth)).Get("code"); code == "" {
		t.Error("no code for the client")
	}
	grants, err := b.as.Grants.List(t.Context(), "company:carol")
	if err != nil || len(grants) != 1 {
		t.Errorf("grants %+v, %v", grants, err)
	}
}

func TestLoginElsewhereOnTheAccountPage(t *testing.T) {
	b := loginSite(t, &elsewhere{kind: "company"}).browser()
	page := b.open(accountPath)
	account := b.follow(b.open(b.leaves(page, accountFormsPath+"company", "carol")))
	if !strings.Contains(account.Body.String(), "Your account") || !strings.Contains(account.Body.String(), "<strong>carol</strong>") {
		t.Errorf("page:\n%s", shows(account))
	}
}

// What does not belong to a login that is under way in this browser identifies
// nobody, and is not even shown to the method.
func TestLoginElsewhereForged(t *testing.T) {
	setState := func(back, state string) string {
		u, _ := url.Parse(back)
		return u.Path + "?" + url.Values{"code": {"carol"}, "state": {state}}.Encode()
	}
	for name, tt := range map[string]struct {
		open   func(b *browser, back string) *httptest.ResponseRecorder
		status int
		goesOn bool // the right answer still works
	}{
		"another browser": {func(b *browser, back string) *httptest.ResponseRecorder { return b.another().open(back) }, 403, true},
		"another's cookie": {func(b *browser, back string) *httptest.ResponseRecorder {
			mallory := b.another()
			for name := range b.cookies {
				mallory.cookies[name] = "mallory"
			}
			return mallory.open(back)
		}, 403, true},
		"another's answer": {func(b *browser, _ string) *httptest.ResponseRecorder {
			mallory := b.another()
			return b.open(mallory.leaves(mallory.open(mallory.start()), companyForm, "mallory"))
		}, 403, true},
		"made-up state": {func(b *browser, back string) *httptest.ResponseRecorder { return b.open(setState(back, "guess")) }, 403, true},
		"no state":      {func(b *browser, back string) *httptest.ResponseRecorder { return b.open(setState(back, "")) }, 403, true},
		"two states":    {func(b *browser, back string) *httptest.ResponseRecorder { return b.open(back + "&state=x") }, 400, true},
		"a form": {func(b *browser, back string) *httptest.ResponseRecorder {
			return b.post(back, url.Values{})
		}, 405, true},
		"late": {func(b *browser, back string) *httptest.ResponseRecorder {
			b.clock.Advance(identity.LoginLifetime)
			return b.open(back)
		}, 400, false},
		"at the path of another method": {func(b *browser, back string) *httptest.ResponseRecorder {
			return b.open(strings.Replace(back, "/company?", "/partner?", 1))
		}, 400, false},
		"for a flow that ended": {func(b *browser, back string) *httptest.ResponseRecorder {
			flow := b.identity
			services := b.follow(b.press(b.open(flow), userIDPath, url.Values{"user_id": {"alice"}}))
			answer(b.t, b.press(services, submitPath, approveBoth))
			return b.open(back)
		}, 409, false},
		"without the flow's cookie": {func(b *browser, back string) *httptest.ResponseRecorder {
			for name := range b.cookies {
				if strings.Contains(name, "mcp_flow_") {
					delete(b.cookies, name)
				}
			}
			return b.open(back)
		}, 403, false},
		"of a method that was removed": {func(b *browser, back string) *httptest.ResponseRecorder {
			b.as.Config().SignIn = identity.Methods{identity.ByUserID()}
			return b.open(back)
		}, 403, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, partner := &elsewhere{kind: "company"}, &elsewhere{kind: "partner"}
			b := loginSite(t, e, partner.method()).browser()
			b.identity = b.start()
			back := b.leaves(b.open(b.identity), companyForm, "carol")
			mustAnswer(t, tt.open(b, back), tt.status)
			if len(e.finished)+len(partner.finished) > 0 {
				t.Errorf("the method was asked: %+v", e.finished)
			}
			w := b.open(back)
			if goesOn := w.Code == http.StatusSeeOther; goesOn != tt.goesOn {
				t.Errorf("the right answer afterwards: %d\n%s", w.Code, shows(w))
			}
		})
	}
}

// An answer works once, also with the cookie that was there.
func TestLoginElsewhereReplayed(t *testing.T) {
	e := &elsewhere{kind: "company"}
	b := loginSite(t, e).browser()
	back := b.leaves(b.open(b.start()), companyForm, "carol")
	thief := b.another()
	for name, value := range b.cookies {
		thief.cookies[name] = value
	}
	mustAnswer(t, b.open(back), http.StatusSeeOther)
	mustAnswer(t, b.open(back), http.StatusForbidden)
	mustAnswer(t, thief.open(back), http.StatusBadRequest)
	if len(e.finished) != 1 {
		t.Errorf("the method was asked %d times", len(e.finished))
	}
}

// Whoever was not let in there may try again, or otherwise.
func TestLoginElsewhereFails(t *testing.T) {
	for name, tt := range map[string]struct {
		code   string
		err    error
		status int
	}{
		"denied": {"", nil, 303}, "the store fails": {"carol", errors.New("down"), 503},
		"does not answer": {"carol", &identity.Unavailable{Cause: errors.New("down")}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			e := &elsewhere{kind: "company"}
			b := loginSite(t, e).browser()
			for _, begin := range []struct{ page, form string }{{b.start(), companyForm}, {accountPath, accountFormsPath + "company"}} {
				e.err = nil
				back := b.leaves(b.open(begin.page), begin.form, tt.code)
				e.err = tt.err
				w := b.open(back)
				mustAnswer(t, w, tt.status)
				if tt.status != http.StatusSeeOther {
					continue
				}
				if page := b.follow(w); !strings.Contains(page.Body.String(), "login.example did not let you in.") || !strings.Contains(page.Body.String(), "Sign in there") {
					t.Errorf("page:\n%s", shows(page))
				}
			}
			e.err = &identity.Denied{Code: "login_denied"}
			page := b.follow(b.press(b.open(b.start()), companyForm, nil))
			if !strings.Contains(page.Body.String(), "did not let you in.") {
				t.Errorf("a start that was refused:\n%s", shows(page))
			}
		})
	}
}

func TestLoginsElsewhereAreLimited(t *testing.T) {
	b := loginSite(t, &elsewhere{kind: "company"}).browser()
	page := b.open(b.start())
	for range *config.DefaultRegistration().RateLimit {
		mustAnswer(t, b.press(page, companyForm, nil), http.StatusSeeOther)
	}
	mustAnswer(t, b.press(page, companyForm, nil), http.StatusTooManyRequests)
}

// Where nobody signs in elsewhere, nothing is served for what comes back.
func TestNoLoginElsewhere(t *testing.T) {
	w := newWalk(t)
	for _, form := range []string{"company", "vk", "caddy"} {
		r := httptest.NewRequest(http.MethodGet, identity.CallbackPath+form+"?state=x", nil)
		if _, pattern := w.mux.Handler(r); pattern != "" {
			t.Errorf("%s is served by %s", r.URL, pattern)
		}
	}
}
