package consent

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// What tells the provider who signs out is sent there by a form, from one page: it
// is in no address, no cookie and no line of the log.
func TestSignOutElsewhereWithAHint(t *testing.T) {
	const hint = "hint-" + oauthtest.Canary
	for name, tt := range map[string]struct {
		path, hint, form, done string
		policy                 string // empty: no form
	}{
		"sign out":    {signOutPath, hint, "https://login.example:8443/logout?x=1", "signed out in this browser", "; form-action 'self' https://login.example:8443"},
		"everywhere":  {signOutEverywherePath, hint, "https://login.example/logout", "signed out everywhere", "; form-action 'self' https://login.example"},
		"no hint":     {signOutPath, "", "https://login.example/logout", "signed out in this browser", ""},
		"odd address": {signOutPath, hint, "https://login.example;sandbox/logout", "signed out in this browser", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &elsewhere{kind: "company"}
			w, log := onlyLoginSite(t, e, func(m *identity.Method) {
				finish := m.Finish
				m.Finish = func(ctx context.Context, a identity.Answer) (identity.Person, error) {
					p, err := finish(ctx, a)
					p.SignOutHint, p.Session = tt.hint, "s1"
					return p, err
				}
				m.SignOut = func(returnTo, hint string) (identity.SignOut, bool) {
					out := identity.SignOut{URL: "https://login.example/logout?asks=1&to=" + returnTo}
					if hint != "" {
						out.Form, out.Fields = tt.form, map[string]string{"id_token_hint": hint, "to": returnTo}
					}
					return out, true
				}
			})
			b := w.browser()
			account := b.follow(b.open(b.leaves(b.open(accountPath), accountFormsPath+"company", "carol")))
			before := account.Header().Get("Content-Security-Policy")
			page := b.press(account, tt.path, nil)
			if strings.Contains(page.Header().Get("Location")+page.Header().Get("Set-Cookie"), hint) || strings.Contains(before, "form-action") {
				t.Errorf("headers %v; policy of the account page %q", page.Header(), before)
			}
			if page.Code == http.StatusSeeOther {
				page = b.follow(page)
			}
			want := before + tt.policy
			if got := page.Header().Get("Content-Security-Policy"); got != want {
				t.Errorf("policy %q\nwant   %q", got, want)
			}
			body := page.Body.String()
			if !strings.Contains(body, tt.done) || !strings.Contains(body, `href="https://login.example/logout?asks=1`) {
				t.Errorf("page:\n%s", shows(page))
			}
			if has := strings.Contains(body, hint); has != (tt.policy != "") {
				t.Errorf("the hint is on the page: %v:\n%s", has, shows(page))
			}
			if tt.policy != "" {
				form := hiddenFields(t, page, tt.form)
				if form.Get("id_token_hint") != hint || form.Get("to") != "https://mcp.example.com/oauth/account" || form.Has("csrf_token") {
					t.Errorf("form %v", form)
				}
			}
			if again := b.open(accountPath); strings.Contains(again.Body.String(), hint) || strings.Contains(again.Body.String(), "<strong>carol</strong>") {
				t.Errorf("afterwards:\n%s", shows(again))
			}
			if log.FilterFieldKey("hint").Len() != 0 || log.FilterMessageSnippet(hint).Len() != 0 {
				t.Errorf("the log has %v", log.All())
			}
		})
	}
}
