package identity

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestRulesMatch_J08_J09(t *testing.T) {
	email := func(address string) *storage.Claims { return &storage.Claims{Email: address} }
	groups := func(names ...string) *storage.Claims { return &storage.Claims{Groups: names} }
	extra := func(raw string) *storage.Claims {
		return &storage.Claims{Extra: map[string]json.RawMessage{"department": json.RawMessage(raw)}}
	}
	for _, tt := range []struct {
		rules  string
		claims *storage.Claims
		want   bool
	}{
		{"", nil, true}, {"", &storage.Claims{}, true},
		{"group:staff", nil, false}, {"group:staff", &storage.Claims{}, false},
		{"group:staff", groups("staff"), true}, {"group:staff", groups("x", "staff"), true}, {"group:staff", groups("Staff"), false},
		{"group:staff", groups("staffs", "", "staff "), false}, {"group:/acme/staff", groups("/acme/staff"), true},
		{"group:staff domain:corp.com", email("a@corp.com"), true},
		{"domain:corp.com", email("a@corp.com"), true}, {"domain:corp.com", email("a@CORP.com"), true}, {"domain:Corp.com", email("a@corp.com"), true},
		{"domain:corp.com", email("a@evil.com@corp.com"), false}, {"domain:corp.com", email("a@corp.com.evil"), false},
		{"domain:corp.com", email("a@corp.com@evil.com"), false}, {"domain:corp.com", email("a@sub.corp.com"), false},
		{"domain:corp.com", email("a@corp。com"), false}, {"domain:corp.com", email("a@corp.com\n"), false},
		{"domain:corp.com", email("a@corp.com "), false}, {"domain:corp.com", email("@corp.com"), false}, {"domain:corp.com", email("corp.com"), false},
		{"domain:corp.com", email("a@corp.com."), false}, {"domain:corp.com", email(""), false}, {"domain:corp.com", email(`"a@evil"@corp.com`), false},
		{"domain:corp.com", email("ä@corp.com"), false}, {"domain:corp.com", email("a@xn--crp-sna.com"), false},
		{"email:Jane@corp.com", email("jane@CORP.com"), true}, {"email:jane@corp.com", email("jane+x@corp.com"), false},
		{"email:jane@corp.com", email("jane@corp.com.evil"), false},
		{"claim:department=sales", extra(`"sales"`), true}, {"claim:department=sales", extra(`["it","sales"]`), true},
		{"claim:department=sales", extra(`"Sales"`), false}, {"claim:department=sales", extra(`{"sales":true}`), false},
		{"claim:department=sales", extra(`[["sales"]]`), false}, {"claim:department=null", extra(`null`), false},
		{"claim:department=true", extra(`true`), true}, {"claim:department=7", extra(`7`), true}, {"claim:department=7", extra(`70`), false},
		{"claim:department=a=b", extra(`"a=b"`), true}, {"claim:other=sales", extra(`"sales"`), false},
		{"claim:department=it claim:department=sales", extra(`"sales"`), true},
	} {
		r, err := ParseRules(strings.Fields(tt.rules))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Match(tt.claims); got != tt.want {
			t.Errorf("%s of %+v: %t, want %t", tt.rules, tt.claims, got, tt.want)
		}
	}
}

func TestRulesThatAreNone_J08(t *testing.T) {
	for text, want := range map[string]string{
		"staff": "write group:staff", "group:": "write group:staff", "group: staff": "write group:staff", "": "write group:staff",
		"role:x": `unknown kind "role"`, "domain:corp": "not a domain", "domain:@corp.com": "not a domain", "domain:*.corp.com": "each subdomain by itself",
		"domain:corp。com": "xn--", "domain:-a.com": "not a domain", "email:jane": "not an e-mail address", "email:a@b@c.com": "not an e-mail address",
		"claim:department": "claim:department=sales", "claim:=x": "claim:department=sales", "claim:x=": "claim:department=sales",
	} {
		if _, err := ParseRules([]string{"group:a", text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Rules are asked at every call, and cost it no memory.
func TestRulesAllocateNothing(t *testing.T) {
	claims := &storage.Claims{
		Email: "jane@corp.com", Groups: []string{"a", "b", "staff"},
		Extra: map[string]json.RawMessage{"department": json.RawMessage(`"sales"`), "roles": json.RawMessage(`["reader","admin"]`)},
	}
	for _, text := range []string{"group:staff", "domain:corp.com", "email:jane@corp.com", "claim:department=sales", "claim:roles=admin", "group:x domain:y.com claim:roles=admin"} {
		r, err := ParseRules(strings.Fields(text))
		if err != nil {
			t.Fatal(err)
		}
		if !r.Match(claims) {
			t.Errorf("%s does not match", text)
		}
		if n := testing.AllocsPerRun(100, func() { r.Match(claims) }); n > 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// Which rules there are decides what is the same as before.
func TestRulesAsText(t *testing.T) {
	read := func(text string) *Rules {
		r, err := ParseRules(strings.Fields(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := read("group:a domain:b.com group:a"), read("domain:b.com group:a")
	if a.String() != b.String() || a.String() == read("group:a").String() || read("").String() != "" {
		t.Errorf("%q, %q", a, b)
	}
	for text, want := range map[string]Needs{
		"": {}, "group:a domain:b.com": {Email: true, Groups: true}, "group:a": {Groups: true}, "email:a@b.com claim:y=1 claim:x=1": {Email: true, Claims: []string{"x", "y"}},
	} {
		if got := read(text).Needs(); got.Email != want.Email || got.Groups != want.Groups || !slices.Equal(got.Claims, want.Claims) {
			t.Errorf("%q needs %+v, want %+v", text, got, want)
		}
	}
}

// Whatever is written as a rule, and whatever an address is, nobody is chosen by
// a rule for another domain.
func FuzzRules(f *testing.F) {
	for _, seed := range [][2]string{{"domain:corp.com", "a@corp.com"}, {"email:a@corp.com", "a@corp.com"}, {"claim:x=1", "1"}, {"group:a", "a"}, {"domain:corp.com", "a@evil.com@corp.com"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, rule, value string) {
		r, err := ParseRules([]string{rule})
		if err != nil {
			return
		}
		if r.Match(nil) || r.Match(&storage.Claims{}) {
			t.Errorf("%q chooses somebody of whom nothing is known", rule)
		}
		raw, _ := json.Marshal(value)
		claims := &storage.Claims{Email: value, Groups: []string{value}, Extra: map[string]json.RawMessage{"x": raw}}
		if domain, ok := strings.CutPrefix(rule, "domain:"); ok && r.Match(claims) {
			if strings.Count(value, "@") != 1 || !strings.HasSuffix(strings.ToLower(value), "@"+strings.ToLower(domain)) {
				t.Errorf("%q chooses %q", rule, value)
			}
		}
	})
}
