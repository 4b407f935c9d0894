package oauth

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestParseChallenge_CL1_CL15(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    Challenge
	}{
		"none":         {nil, Challenge{}},
		"empty":        {[]string{""}, Challenge{}},
		"scheme alone": {[]string{"Bearer"}, Challenge{}},
		"metadata":     {[]string{`Bearer resource_metadata="https://s.example/m"`}, Challenge{ResourceMetadata: "https://s.example/m"}},
		"all": {
			[]string{`Bearer realm="x", error="insufficient_scope", scope="a  b a", resource_metadata="https://s.example/m"`},
			Challenge{ResourceMetadata: "https://s.example/m", Scopes: []string{"a", "b"}, InsufficientScope: true},
		},
		"case and space":     {[]string{`bEARER Resource_Metadata = "https://s.example/m" ,SCOPE=a`}, Challenge{ResourceMetadata: "https://s.example/m", Scopes: []string{"a"}}},
		"without quotes":     {[]string{`Bearer resource_metadata=https://s.example/m?a=b, scope=a`}, Challenge{ResourceMetadata: "https://s.example/m?a=b", Scopes: []string{"a"}}},
		"other schemes":      {[]string{`Basic realm="Bearer scope=\"x\"", Bearer scope="a", Digest scope="c"`}, Challenge{Scopes: []string{"a"}}},
		"credentials syntax": {[]string{`Negotiate abc==, Bearer scope="a"`}, Challenge{Scopes: []string{"a"}}},
		"several fields":     {[]string{`Basic realm="x"`, `Bearer scope="a"`}, Challenge{Scopes: []string{"a"}}},
		"several, one names metadata": {
			[]string{`Bearer scope="a"`, `Bearer scope="b", resource_metadata="https://s.example/m"`, `Bearer resource_metadata="https://t.example/m"`},
			Challenge{ResourceMetadata: "https://s.example/m", Scopes: []string{"b"}},
		},
		"DPoP names metadata": {[]string{`DPoP resource_metadata="https://evil.example/m", Bearer scope="a"`}, Challenge{Scopes: []string{"a"}}},
		"repeated":            {[]string{`Bearer scope="a", scope="b"`}, Challenge{Scopes: []string{"a"}}},
		"escapes":             {[]string{`Bearer scope="a\"\\b c", error="x"`}, Challenge{Scopes: []string{"c"}}},
		"quote never ends":    {[]string{`Bearer error="insufficient_scope", scope="a`}, Challenge{InsufficientScope: true}},
		"parameter first":     {[]string{`scope="a"`}, Challenge{}},
		"control characters":  {[]string{"Bearer resource_metadata=\"https://s.example/\r\nm\", scope=\"a\x00b \x7f c\""}, Challenge{Scopes: []string{"c"}}},
		"not ASCII":           {[]string{`Bearer scope="ä b"`}, Challenge{Scopes: []string{"b"}}},
		"long URL":            {[]string{`Bearer resource_metadata="https://s.example/` + strings.Repeat("a", 3000) + `"`}, Challenge{}},
		"single quotes":       {[]string{`Bearer resource_metadata='https://s.example/m', scope='a b', error='insufficient_scope'`}, Challenge{ResourceMetadata: "https://s.example/m", Scopes: []string{"a", "b"}, InsufficientScope: true}},
		"single quote":        {[]string{`Bearer realm=it's, scope="a"`}, Challenge{Scopes: []string{"a"}}},
		"single, never ends":  {[]string{`Bearer scope='a, error=x`}, Challenge{Scopes: []string{"'a"}}},
		"too long":            {[]string{`Bearer scope="a", x="` + strings.Repeat("a", maxChallengeLen) + `"`}, Challenge{}},
		"commas":              {[]string{`,, ,Bearer ,scope="a",,`}, Challenge{Scopes: []string{"a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ParseChallenge(http.Header{"Www-Authenticate": tt.headers}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Bearer realm="x", error="insufficient_scope", scope="a b", resource_metadata="https://s.example/m"`)
	f.Add(`Basic realm="Bearer scope=\"x\"", Negotiate abc==, Bearer scope=a`)
	f.Add(`Bearer scope="a\`)
	f.Add("\x00=\x00, Bearer =")
	f.Fuzz(func(t *testing.T, value string) {
		c := ParseChallenge(http.Header{"Www-Authenticate": {value}})
		if len(c.ResourceMetadata) > maxChallengeURL || !VisibleASCII(c.ResourceMetadata) {
			t.Fatalf("not to be requested: %q", c.ResourceMetadata)
		}
		seen := map[string]bool{}
		for _, s := range c.Scopes {
			if s == "" || !VisibleASCII(s) || strings.ContainsAny(s, `"\`) || seen[s] {
				t.Fatalf("scopes %q", c.Scopes)
			}
			seen[s] = true
		}
		// What we write ourselves is read back.
		again := `Bearer scope="` + strings.Join(c.Scopes, " ") + `"`
		if got := ParseChallenge(http.Header{"Www-Authenticate": {again}}); len(again) <= maxChallengeLen && strings.Join(got.Scopes, " ") != strings.Join(c.Scopes, " ") {
			t.Fatalf("%q reads %q", again, got.Scopes)
		}
	})
}
