package consent

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Whoever was refused with the account that they have elsewhere, or is about to be
// somebody else, is asked there which account they want; nobody else is.
func TestOtherAccountElsewhere(t *testing.T) {
	refuse := func(code string) func(*browser, *elsewhere, string, string) *httptest.ResponseRecorder {
		return func(b *browser, e *elsewhere, page, form string) *httptest.ResponseRecorder {
			back := b.leaves(b.open(withMore(page, "choose", "1")), form, "carol")
			e.err = &identity.Denied{Code: code}
			refused := b.follow(b.open(back))
			e.err = nil
			return refused
		}
	}
	in := func(b *browser, _ *elsewhere, page, form string) *httptest.ResponseRecorder {
		b.follow(b.open(b.leaves(b.open(withMore(page, "choose", "1")), form, "carol")))
		return b.open(withMore(page, "choose", "1"))
	}
	for name, tt := range map[string]struct {
		before func(b *browser, e *elsewhere, page, form string) *httptest.ResponseRecorder
		flow   bool
		want   bool
	}{
		"first": {func(b *browser, _ *elsewhere, page, _ string) *httptest.ResponseRecorder {
			return b.open(withMore(page, "choose", "1"))
		}, true, false},
		"wrong account":                      {refuse("wrong_account"), true, true},
		"wrong account, on the account page": {refuse("wrong_account"), false, true},
		"another reason":                     {refuse("login_denied"), true, false},
		"not you":                            {in, true, true},
		"not you, remembered": {func(b *browser, e *elsewhere, _, _ string) *httptest.ResponseRecorder {
			b.follow(b.open(b.leaves(b.open(accountPath), accountFormsPath+"company", "carol")))
			return b.choose(b.start())
		}, true, true},
		"somebody known in another way": {func(b *browser, _ *elsewhere, page, _ string) *httptest.ResponseRecorder {
			b.press(b.open(withMore(page, "choose", "1")), userIDPath, map[string][]string{"user_id": {"alice"}})
			return b.choose(page)
		}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, asked := &elsewhere{kind: "company"}, []bool(nil)
			company := e.method()
			company.Messages["wrong_account"], company.WrongAccount = "Use another account.", []string{"wrong_account"}
			start := company.Start
			company.Start = func(ctx context.Context, l identity.Login) (identity.Redirect, error) {
				asked = append(asked, l.OtherAccount)
				return start(ctx, l)
			}
			w := loginSite(t, e)
			w.as.Config().SignIn[0] = company
			b := w.browser()
			page, form := accountPath, accountFormsPath+"company"
			if tt.flow {
				page, form = b.start(), companyForm
			}
			b.leaves(tt.before(b, e, page, form), form, "carol")
			if got := asked[len(asked)-1]; got != tt.want {
				t.Errorf("asked for another account: %v, want the last %v", asked, tt.want)
			}
			if len(asked) > 1 && asked[0] {
				t.Error("the first login asked for another account")
			}
		})
	}
	b := loginSite(t, &elsewhere{kind: "company"}).browser()
	if page := b.open(withMore(b.start(), "error", "login_denied")); strings.Contains(page.Body.String(), "other_account") {
		t.Errorf("a method that names no such code:\n%s", shows(page))
	}
}
