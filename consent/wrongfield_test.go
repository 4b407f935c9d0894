package consent

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What is wrong stands at its field, which says so and has the focus; the title
// of the page says that something is. What is about no field stands on top.
func TestErrorsAtTheirField_I18(t *testing.T) {
	inFocus := regexp.MustCompile(`<(?:input|button|p)[^>]* autofocus[^>]*>`)
	for name, tt := range map[string]struct {
		target  string
		message string
		field   string // part of the tag that has the focus; empty if none has
		invalid bool   // it can be, and says so
	}{
		"wrong key":            {"/oauth/consent?flow_id=sealed&error=key", "This key is not known here", `id="vk"`, true},
		"wrong user ID":        {"/oauth/consent?flow_id=sealed&error=user_id", "A user ID has 1 to 255", `id="user_id"`, true},
		"another user":         {"/oauth/consent?flow_id=sealed&error=other_user", "Somebody else is signed in now", "", false},
		"sign-in elsewhere":    {"/oauth/consent?flow_id=sealed&error=declined", "The service says that you did not agree", "", false},
		"account, wrong key":   {accountPath + "?error=key", "This key is not known here", `id="vk"`, true},
		"no server":            {servicesURL + "&error=no_server", "Choose at least one server", `id="server-0"`, true},
		"no scope":             {servicesURL + "&error=no_scope", "Leave at least one permission ticked", `value="pages:write"`, true},
		"required":             {servicesURL + "&error=required&server=notion", "This service is required", `value="notion"`, false},
		"declined":             {servicesURL + "&error=declined&server=github", "The service says that you did not agree", `value="github"`, false},
		"of an unknown server": {servicesURL + "&error=declined&server=other", "The service says that you did not agree", "", false},
		"wrong keys":           {keyPageURL + "&error=wrong_key", "The service does not accept this key", `id="key-0"`, true},
		"provider down":        {keyPageURL + "&error=provider_down", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			if strings.HasPrefix(tt.target, "/oauth/consent?") {
				s = newSite(t)
			}
			page := s.get(tt.target + "&ref=0f0d2b6e-8f3c-4d5b-9f62-0d2a1f3b4c5d").Body.String()
			if tt.message != "" && strings.Count(page, tt.message) != 1 {
				t.Fatalf("%q is there %d times:\n%s", tt.message, strings.Count(page, tt.message), page)
			}
			if tt.message != "" && !strings.Contains(page, "<title>Error: ") {
				t.Error("the title does not say so")
			}
			tags := inFocus.FindAllString(page, -1)
			if tt.field == "" {
				if len(tags) != 0 {
					t.Errorf("in focus: %q", tags)
				}
				return
			}
			if len(tags) != 1 || !strings.Contains(tags[0], tt.field) || strings.Contains(tags[0], `aria-invalid="true"`) != tt.invalid {
				t.Fatalf("in focus: %q", tags)
			}
			described := regexp.MustCompile(`aria-describedby="([a-z0-9-]+)`).FindStringSubmatch(tags[0])
			if described == nil || !strings.Contains(page, `id="`+described[1]+`" role="alert">`) {
				t.Errorf("%s is described by nothing", tags[0])
			}
		})
	}
}

// Nothing that grants has the focus, whatever the page says.
func TestNothingThatGrantsHasTheFocus_I06(t *testing.T) {
	s := connecting(t)
	s.broker.connected(alice().Subject, "notion", storage.Active)
	for _, more := range []string{"", "&error=no_server", "&error=required&server=notion", "&server=notion", "&focus=notion", "&error=x"} {
		page := s.get(servicesURL + more).Body.String()
		if regexp.MustCompile(`<button[^>]*value="approve"[^>]*autofocus|autofocus[^>]*value="approve"`).MatchString(page) {
			t.Errorf("%q: the button that grants has the focus", more)
		}
		if !strings.Contains(page, `value="approve"`) {
			t.Fatalf("%q: no button", more)
		}
	}
}

// What was just connected is ticked, and says so where the focus is.
func TestJustConnected(t *testing.T) {
	for name, tt := range map[string]struct {
		state storage.ConnectionState
		query string
		want  bool
	}{
		"back from the provider": {storage.Active, "&server=notion", true},
		"nothing was connected":  {"", "&server=notion", false},
		"it failed":              {storage.Active, "&server=notion&error=declined", false},
		"another":                {storage.Active, "&server=github", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := connecting(t)
			if tt.state != "" {
				s.broker.connected(s.owner(), "notion", tt.state)
			}
			page := s.get(servicesURL + tt.query).Body.String()
			if got := strings.Contains(page, `role="status" tabindex="-1" autofocus>Notion is connected`); got != tt.want {
				t.Errorf("told: %v, want %v\n%s", got, tt.want, page)
			}
			if got := strings.Contains(page, `value="`+atNotion+`" checked`); got != tt.want {
				t.Errorf("ticked: %v, want %v", got, tt.want)
			}
		})
	}
}
