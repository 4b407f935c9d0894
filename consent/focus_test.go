package consent

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A link to what only a button starts leads to the button, never further.
func TestLinkToAButton_I01(t *testing.T) {
	s := connecting(t)
	s.broker.connected(alice().Subject, "github", "active")
	for _, tt := range []struct{ query, want string }{
		{"flow_id=sealed&mcp_client_id=notion", "/oauth/consent/mcps?flow_id=sealed&focus=notion"},
		{"flow_id=sealed&mcp_client_id=github", "/oauth/consent/mcps?flow_id=sealed&focus=github"},
		{"flow_id=sealed&server=github", "/oauth/consent/mcps?flow_id=sealed&focus=github"},
		{"flow_id=sealed&mcp_client_id=%22%3E", "/oauth/consent/mcps?flow_id=sealed"},
		{"flow_id=sealed", "/oauth/consent/mcps?flow_id=sealed"},
		{"session=somebodys&mcp_client_id=notion", "/oauth/account?focus=notion"},
		{"mcp_client_id=unknown&session=x", "/oauth/account"},
	} {
		w := s.get(flowConnectPath + "?" + tt.query)
		got, want := w.Header().Get("Location"), mustParse(t, tt.want)
		if w.Code != http.StatusSeeOther || mustParse(t, got).Path != want.Path || mustParse(t, got).Query().Encode() != want.Query().Encode() {
			t.Errorf("%s: %d, Location %q, want %q", tt.query, w.Code, got, tt.want)
		}
		if s.broker.started != nil || len(w.Result().Cookies()) > 0 {
			t.Fatalf("%s began to connect", tt.query)
		}
	}
	other := httptest.NewRequest(http.MethodGet, flowConnectPath+"?flow_id=sealed&mcp_client_id=notion", nil)
	if w := s.do(other); w.Code != http.StatusForbidden {
		t.Errorf("in another browser: %d", w.Code)
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// inFocus returns the label of the button that has the focus, and how many do.
func inFocus(page *httptest.ResponseRecorder) (label string, n int) {
	_, after, _ := strings.Cut(page.Body.String(), " autofocus>")
	label, _, _ = strings.Cut(after, "<")
	return label, strings.Count(page.Body.String(), "autofocus")
}

// The focus is where the link says, also after the person said who they are.
func TestFocusAfterSigningIn(t *testing.T) {
	w := newWalkTo(t, upstreams(newProvider(t))...)
	b := w.browser()
	page := b.follow(b.open(flowConnectPath + "?session=x&mcp_client_id=notion"))
	page = b.follow(b.press(page, accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}))
	if label, n := inFocus(page); label != "Connect Notion" || n != 1 {
		t.Errorf("%d in focus: %q", n, label)
	}
	page = b.follow(b.open(agree(t, b.press(page, accountConnectPath, url.Values{"server": {"notion"}}), "alice's")))
	if !strings.Contains(shows(page), "Notion is connected. If an application asked for it, go back there and try again; you can close this page.") {
		t.Errorf("the last page:\n%s", shows(page))
	}
	if failed := b.open(accountPath + "?server=notion&error=declined"); strings.Contains(shows(failed), "is connected.") {
		t.Errorf("said of what failed:\n%s", shows(failed))
	}

	flowID := mustParse(t, b.start()).Query().Get("flow_id")
	page = b.follow(b.open(flowConnectPath + "?mcp_client_id=github&flow_id=" + flowID))
	if label, n := inFocus(page); label != "Connect github" || n != 1 {
		t.Errorf("of whoever is known, %d in focus: %q", n, label)
	}
	notYou := regexp.MustCompile(`href="([^"]+)">Not you`).FindStringSubmatch(shows(page))
	page = b.open(html.UnescapeString(notYou[1]))
	page = b.follow(b.press(page, userIDPath, url.Values{"user_id": {"bob"}}))
	if label, n := inFocus(page); label != "Connect github" || n != 1 {
		t.Errorf("%d in focus: %q", n, label)
	}
}
