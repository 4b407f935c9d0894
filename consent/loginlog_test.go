package consent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// onlyLoginSite is a site to which people sign in at e alone, and its log.
func onlyLoginSite(t *testing.T, e *elsewhere, change func(*identity.Method)) (*walk, *observer.ObservedLogs) {
	t.Helper()
	core, log := observer.New(zapcore.InfoLevel)
	m := e.method()
	m.Provider, m.Ready = "https://login.example", func() bool { return true }
	if change != nil {
		change(&m)
	}
	w, deps := newServer(t, memstore.New(), zap.New(core), func(c *config.Site) { c.SignIn = identity.Methods{m} })
	w.serve(New(deps))
	return w, log
}

// Every refusal of a login is told to the person with a reference, under which the
// log has one line with the place and the reason.
func TestRefusedLoginIsLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		level zapcore.Level
	}{
		"the person's":   {&identity.Denied{Code: "login_denied", Cause: errors.New("cause-canary")}, zapcore.InfoLevel},
		"the operator's": {&identity.Denied{Code: "login_denied", Cause: errors.New("cause-canary"), Operator: true}, zapcore.WarnLevel},
		"nobody answers": {&identity.Unavailable{Cause: errors.New("cause-canary")}, zapcore.WarnLevel},
	} {
		t.Run(name, func(t *testing.T) {
			e := &elsewhere{kind: "company"}
			w, log := onlyLoginSite(t, e, nil)
			b := w.browser()
			back := b.comesBack(b.open(b.start()), "carol")
			e.err = tt.err
			page := b.open(back)
			if page.Code == http.StatusSeeOther {
				page = b.follow(page)
			}
			if log.Len() != 1 {
				t.Fatalf("the log has %v", log.All())
			}
			entry, fields := log.All()[0], log.All()[0].ContextMap()
			reference, _ := fields["correlation_id"].(string)
			if entry.Level != tt.level || fields["provider"] != "https://login.example" || fields["error"] != "cause-canary" || reference == "" {
				t.Errorf("the log has %s %v", entry.Level, fields)
			}
			if text := page.Body.String(); !strings.Contains(text, reference) || strings.Contains(text, "canary") {
				t.Errorf("page without %s:\n%s", reference, shows(page))
			}
		})
	}
}

// comesBack returns with what the browser comes back that a page sent elsewhere.
func (b *browser) comesBack(w *httptest.ResponseRecorder, code string) string {
	b.t.Helper()
	mustAnswer(b.t, w, http.StatusSeeOther)
	return b.answerOf(w, code)
}

// Where there is one place to sign in, people are sent there at once, unless there
// is something to read or choose before. Afterwards they are asked all the same.
func TestOnlyPlaceToSignIn(t *testing.T) {
	e := &elsewhere{kind: "company"}
	w, _ := onlyLoginSite(t, e, nil)
	b := w.browser()
	start := b.start()
	if len(b.cookies) != 1 {
		t.Errorf("cookies %v before the page", b.cookies)
	}
	services := b.follow(b.open(b.comesBack(b.open(start), "carol")))
	if !strings.Contains(services.Body.String(), "Allow and finish") || !strings.Contains(services.Body.String(), "carol") {
		t.Fatalf("page:\n%s", shows(services))
	}
	// Another identity is chosen on the page.
	mustAnswer(t, b.open(start), http.StatusOK)
	if code := answer(t, b.press(services, submitPath, approveBoth)).Get("code"); code == "" {
		t.Error("no code for the client")
	}
	for name, tt := range map[string]struct {
		change func(*identity.Method)
		open   func(b *browser, start string) *httptest.ResponseRecorder
	}{
		"not ready": {func(m *identity.Method) { m.Ready = func() bool { return false } }, func(b *browser, start string) *httptest.ResponseRecorder { return b.open(start) }},
		"no such":   {func(m *identity.Method) { m.Ready = nil }, func(b *browser, start string) *httptest.ResponseRecorder { return b.open(start) }},
		"to read": {nil, func(b *browser, start string) *httptest.ResponseRecorder {
			return b.open(start + "&error=login_denied")
		}},
		"to choose": {nil, func(b *browser, start string) *httptest.ResponseRecorder { return b.open(start + "&choose=1") }},
		"only a head": {nil, func(b *browser, start string) *httptest.ResponseRecorder {
			return b.send(httptest.NewRequest(http.MethodHead, start, nil))
		}},
		"fetched early": {nil, func(b *browser, start string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, start, nil)
			r.Header.Set("Sec-Purpose", "prefetch")
			return b.send(r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := onlyLoginSite(t, &elsewhere{kind: "company"}, tt.change)
			b := w.browser()
			mustAnswer(t, tt.open(b, b.start()), http.StatusOK)
		})
	}
	// In another browser, the link of a client leads nowhere.
	mustAnswer(t, b.another().open(b.start()), http.StatusForbidden)
}

// Who signs out is shown the way to do so elsewhere, too.
func TestSignOutElsewhere(t *testing.T) {
	const at = "https://login.example/logout?x=1"
	for name, tt := range map[string]struct {
		way  func(returnTo, hint string) (identity.SignOut, bool)
		want bool
	}{
		"can": {func(returnTo, _ string) (identity.SignOut, bool) {
			return identity.SignOut{URL: at + "&to=" + returnTo}, true
		}, true},
		"cannot": {func(string, string) (identity.SignOut, bool) { return identity.SignOut{}, false }, false},
		"no way": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := onlyLoginSite(t, &elsewhere{kind: "company"}, func(m *identity.Method) { m.SignOut = tt.way })
			b := w.browser()
			account := b.follow(b.open(b.leaves(b.open(accountPath), accountFormsPath+"company", "carol")))
			page := b.follow(b.press(account, signOutPath, nil))
			if has := strings.Contains(page.Body.String(), `href="`+at); has != tt.want {
				t.Errorf("page:\n%s", shows(page))
			}
			if tt.want && !strings.Contains(page.Body.String(), "to=https://mcp.example.com/oauth/account") {
				t.Errorf("page:\n%s", page.Body)
			}
			if again := b.open(accountPath); strings.Contains(again.Body.String(), at) {
				t.Error("the way is shown again later")
			}
		})
	}
}
