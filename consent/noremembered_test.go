package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
)

// What a person once approved is never taken for an answer to the next request,
// whoever sends their browser here: the same client in the same browser gets a
// page, and no code but for a form of this very flow.
func TestWalkConsentIsNotRemembered_I07(t *testing.T) {
	for name, w := range map[string]*walk{
		"nothing to connect":         newWalk(t),
		"a browser that stays known": newWalkTo(t, upstreams(newProvider(t))[1]),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			b := w.browser()
			first := b.signIn("alice")
			if got := answer(t, b.press(first, submitPath, approveBoth)); got.Get("code") == "" {
				t.Fatalf("answer = %v", got)
			}
			nothing := func(what string, r *httptest.ResponseRecorder) *httptest.ResponseRecorder {
				t.Helper()
				if to := r.Header().Get("Location"); strings.Contains(to, "code=") || strings.HasPrefix(to, "cursor:") {
					t.Fatalf("%s leads to %s", what, to)
				}
				return r
			}

			silent := "&" + url.Values{"prompt": {"none"}, "max_age": {"99999"}}.Encode()
			for _, more := range []string{"", silent} {
				link := nothing("the link of the client", b.open(linkOfTheClient+more)).Header().Get("Location")
				if !strings.HasPrefix(link, server.ConsentPath+"?") {
					t.Fatalf("sent to %q", link)
				}
				page := nothing("the first page", b.open(link))
				mustAnswer(t, page, http.StatusOK)
				nothing("the services page of nobody", b.open(strings.Replace(link, server.ConsentPath, servicesPath, 1)))

				page = b.follow(b.press(page, userIDPath, url.Values{"user_id": {"alice"}}))
				nothing("the services page", page)
				if hiddenFields(t, page, submitPath) == nil {
					t.Fatalf("nobody is asked:\n%s", shows(page))
				}
				mine, old := hiddenFields(t, page, submitPath), hiddenFields(t, first, submitPath)
				for what, form := range map[string]url.Values{
					"nothing but the flow":              {"flow_id": mine["flow_id"]},
					"the form that was approved before": old,
					"the token of before":               {"flow_id": mine["flow_id"], "csrf_token": old["csrf_token"], "identity": mine["identity"]},
					"the flow of before":                {"flow_id": old["flow_id"], "csrf_token": mine["csrf_token"], "identity": mine["identity"]},
				} {
					maps.Copy(form, approveBoth)
					if got := nothing(what, b.post(submitPath, form)); got.Code < 400 {
						t.Errorf("%s: %d", what, got.Code)
					}
				}
				maps.Copy(mine, approveBoth)
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					if got := nothing(method, b.send(httptest.NewRequest(method, submitPath+"?"+mine.Encode(), nil))); got.Code < 400 {
						t.Errorf("%s: %d", method, got.Code)
					}
				}
				if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
					t.Errorf("answer to the form = %v", got)
				}
			}
		})
	}
}
