package oauthtest

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

//go:embed oidc/*.json
var oidcShapes embed.FS

// oidcShape is a file of oidc: an identity provider that people use, by its
// discovery document, what it says of three people, and what is odd about it.
// Hosts and people are invented, members and their forms are not.
type oidcShape struct {
	// Source is where the document is found.
	Source string `json:"source"`
	// At is where people think the issuer is, if not where it says to be.
	At       string   `json:"at"`
	Document Object   `json:"document"`
	Quirks   []string `json:"quirks"`
	// RefreshToken is what a request must have to get one.
	RefreshToken struct {
		Always     bool              `json:"always"`
		Scope      string            `json:"scope"`
		Parameters map[string]string `json:"parameters"`
	} `json:"refresh_token"`
	RefusesScopes []string `json:"refuses_scopes"`
	// ScopeClaims are the claims that are given only if a scope was asked for.
	ScopeClaims map[string][]string `json:"scope_claims"`
	// ClientAuth is the one method of authentication, if it is not any that the
	// document has.
	ClientAuth string `json:"client_auth"`
	// Audience are further members of aud.
	Audience []string `json:"audience"`
	// What its id_tokens have besides.
	AuthTime bool `json:"auth_time"`
	AtHash   bool `json:"at_hash"`
	Azp      bool `json:"azp"`
	Nbf      bool `json:"nbf"`
	SID      bool `json:"sid"`
	// AnswersIss tells that the redirect back has the parameter iss.
	AnswersIss bool `json:"answers_iss"`
	Rotates    bool `json:"rotates"`
	// RefreshedIDToken tells that a refresh brings an id_token.
	RefreshedIDToken bool                  `json:"refreshed_id_token"`
	People           map[string]OIDCPerson `json:"people"`
}

// OIDCPerson is what an identity provider says of somebody. Userinfo is that of
// the id_token where it is empty.
type OIDCPerson struct {
	IDToken  Object `json:"id_token"`
	Userinfo Object `json:"userinfo"`
}

// Without returns the person without a claim.
func (p OIDCPerson) Without(claim string) OIDCPerson {
	p = OIDCPerson{maps.Clone(p.IDToken), maps.Clone(p.Userinfo)}
	delete(p.IDToken, claim)
	delete(p.Userinfo, claim)
	return p
}

// OIDCShapes returns the names of the identity providers that NewOIDCProvider
// can be like.
func OIDCShapes(t testing.TB) (names []string) {
	t.Helper()
	entries, err := oidcShapes.ReadDir("oidc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}

func readOIDCShape(t testing.TB, name string) *oidcShape {
	t.Helper()
	text, err := oidcShapes.ReadFile("oidc/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := &oidcShape{}
	if err := json.Unmarshal(text, s); err != nil {
		t.Fatalf("oidc/%s.json: %v", name, err)
	}
	return s
}

// endpoint returns a URL of the document.
func (s *oidcShape) endpoint(t testing.TB, name string) *url.URL {
	t.Helper()
	text, _ := s.Document[name].(string)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		t.Fatalf("%s has no %s: %v", s.Source, name, err)
	}
	return u
}

// given returns what is said of somebody to who asked for these scopes.
func (s *oidcShape) given(claims Object, scopes []string) Object {
	given := maps.Clone(claims)
	for scope, names := range s.ScopeClaims {
		for _, name := range names {
			if !slices.Contains(scopes, scope) {
				delete(given, name)
			}
		}
	}
	return given
}

// moved returns a document with other origins in all of its URLs.
func moved(v any, origins map[string]string) any {
	switch v := v.(type) {
	case string:
		for from, to := range origins {
			if rest, ok := strings.CutPrefix(v, from); ok && (rest == "" || rest[0] == '/') {
				return to + rest
			}
		}
	case []any:
		v = slices.Clone(v)
		for i := range v {
			v[i] = moved(v[i], origins)
		}
		return v
	case Object:
		o := Object{}
		for name, value := range v {
			o[name] = moved(value, origins)
		}
		return o
	}
	return v
}

// origins returns the origins of all URLs in a document.
func origins(v any) (all []string) {
	switch v := v.(type) {
	case string:
		if u, err := url.Parse(v); err == nil && u.Scheme == "https" {
			all = append(all, fmt.Sprintf("%s://%s", u.Scheme, u.Host))
		}
	case []any:
		for _, member := range v {
			all = append(all, origins(member)...)
		}
	case Object:
		for _, member := range v {
			all = append(all, origins(member)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
