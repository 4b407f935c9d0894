package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// Whatever the store fails at while somebody does something on a page, they
// read that it did not work, the browser keeps what it has, and doing it again
// works. Nobody is told that something ended, or began, while it did not.
func TestNothingSucceedsWithoutTheStore(t *testing.T) {
	press := func(path string, more url.Values) func(*browser, *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		return func(b *browser, page *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			return b.press(page, path, more)
		}
	}
	account := func(b *browser) *httptest.ResponseRecorder { // with an application and a connection
		page := b.signIn("alice")
		page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")))
		answer(t, b.press(page, submitPath, approveBoth))
		return b.open(accountPath)
	}
	signedOut := func(b *browser) *httptest.ResponseRecorder { return b.open(accountPath) }
	services := func(b *browser) *httptest.ResponseRecorder { return b.signIn("alice") }
	identity := func(b *browser) *httptest.ResponseRecorder { return b.open(b.start()) }
	signIn := press(accountFormsPath+"user-id", url.Values{"user_id": {"alice"}})
	for name, tc := range map[string]struct {
		before func(*browser) *httptest.ResponseRecorder
		act    func(*browser, *httptest.ResponseRecorder) *httptest.ResponseRecorder
		verbs  []string // that must be among those that are used
	}{
		"sign out":                           {account, press(signOutPath, nil), []string{"BrowserSession", "DeleteBrowserSession"}},
		"sign out everywhere":                {account, press(signOutEverywherePath, nil), []string{"EndPerson"}},
		"revoke an application":              {account, press(revokeGrantPath, nil), []string{"Grant", "RevokeGrant"}},
		"change what an application may use": {account, press(choosePath, url.Values{"tools:notion": {"reading"}}), []string{"GrantsOf", "Grant", "ChangeGrant"}},
		"disconnect":                         {account, press(disconnectPath, nil), []string{"Connection", "Disconnect"}},
		"connect":                            {account, press(accountConnectPath, url.Values{"server": {"notion"}}), []string{"SaveConnectState"}},
		"paste a key": {func(b *browser) *httptest.ResponseRecorder {
			return b.follow(b.press(account(b), accountConnectPath, url.Values{"server": {"github"}}))
		}, press(accountKeyPath, url.Values{"key-0": {goodKey}}), []string{"ReplaceConnection"}},
		"sign in":                  {signedOut, signIn, []string{"CreateBrowserSession"}},
		"say who one is in a flow": {identity, press(userIDPath, url.Values{"user_id": {"alice"}}), []string{"Flow", "SaveFlow"}},
		"allow":                    {services, press(submitPath, approveBoth), []string{"Flow", "SubmitFlow"}},
		"deny":                     {services, press(submitPath, url.Values{"decision": {"deny"}}), []string{"Flow", "SubmitFlow"}},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(fails string) (store *storetest.Faulty, b *browser, page, answer *httptest.ResponseRecorder) {
				store = storetest.NewFaulty(memstore.New())
				servers := upstreams(newProvider(t))
				servers[0].Auth.Optional = true
				b = newWalkOn(t, store, servers...).browser()
				page = tc.before(b)
				store.Called()
				store.Fail(fails)
				return store, b, page, tc.act(b, page)
			}
			store, b, _, answer := run("")
			mustAnswer(t, answer, http.StatusSeeOther)
			if _, signedIn := b.cookies["__Host-mcp_browser"]; signedIn && strings.HasPrefix(name, "sign out") {
				t.Error("the browser keeps the cookie of its session")
			}
			used := store.Called()
			slices.Sort(used)
			used = slices.DeleteFunc(slices.Compact(used), func(verb string) bool {
				return verb == "DueRevocations" || verb == "EndRevocation" // afterwards, and tried again
			})
			for _, verb := range tc.verbs {
				if !slices.Contains(used, verb) {
					t.Errorf("%s is not used, only %v", verb, used)
				}
			}
			for _, verb := range used {
				store, b, page, answer := run(verb)
				kept := maps.Clone(b.cookies)
				if answer.Code != http.StatusServiceUnavailable || !strings.Contains(shows(answer), "cannot answer right now") || answer.Header().Get("Location") != "" {
					t.Errorf("%s failed: %d, leads to %q\n%s", verb, answer.Code, answer.Header().Get("Location"), shows(answer))
				}
				if !maps.Equal(kept, b.cookies) {
					t.Errorf("%s failed: the browser's cookies changed", verb)
				}
				store.Fail("")
				if answer := tc.act(b, page); answer.Code != http.StatusSeeOther {
					t.Errorf("%s failed; once more: %d\n%s", verb, answer.Code, shows(answer))
				}
			}
		})
	}
}
