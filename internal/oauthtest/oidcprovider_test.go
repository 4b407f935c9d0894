package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An application that does what it should is told who somebody is by each of the
// providers, and keeps being told.
func TestOIDCProviders(t *testing.T) {
	for _, shape := range OIDCShapes(t) {
		t.Run(shape, func(t *testing.T) {
			p := NewOIDCProvider(t, shape)
			var d map[string]any
			getJSON(t, strings.TrimSuffix(p.Issuer, "/")+"/.well-known/openid-configuration", "", &d)
			for name, value := range d {
				if at, ok := value.(string); ok && strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(at, "http://127.0.0.1:") {
					t.Errorf("%s is elsewhere: %s", name, at)
				}
			}
			if len(p.People) == 0 {
				return
			}
			if d["issuer"] != p.Issuer {
				t.Errorf("issuer %s at %s", d["issuer"], p.Issuer)
			}
			tokens := oidcLogin(t, p, d, "ada")
			claims := oidcClaims(t, tokens)
			if claims["iss"] != p.Issuer || claims["nonce"] != "n" || claims["sub"] != p.People["ada"].IDToken["sub"] {
				t.Errorf("claims %v", claims)
			}
			var info map[string]any
			getJSON(t, d["userinfo_endpoint"].(string), tokens["access_token"].(string), &info)
			if info["sub"] != claims["sub"] {
				t.Errorf("userinfo %v of %v", info, claims)
			}
			again := oidcToken(t, p, d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}})
			if claims := oidcClaims(t, again); claims["nonce"] != nil {
				t.Errorf("refreshed claims %v", claims)
			}
			last, rotated := again["refresh_token"].(string)
			if !rotated {
				last = tokens["refresh_token"].(string)
			}
			p.EndSessions("ada")
			ended := oidcToken(t, p, d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {last}})
			if ended["error"] != "invalid_grant" {
				t.Errorf("after the end: %v", ended)
			}
		})
	}
}

func oidcLogin(t *testing.T, p *OIDCProvider, d map[string]any, account string) map[string]any {
	t.Helper()
	challenge := sha256.Sum256([]byte("verifier"))
	q := url.Values{
		"client_id": {p.ClientID}, "response_type": {"code"}, "redirect_uri": {"http://127.0.0.1:9/cb"}, "nonce": {"n"}, "state": {"s"},
		"scope": {"openid profile email"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}
	if scope := p.shape.RefreshToken.Scope; scope != "" {
		q.Set("scope", q.Get("scope")+" "+scope)
	}
	for name, value := range p.shape.RefreshToken.Parameters {
		q.Set(name, value)
	}
	back := Visit(t, d["authorization_endpoint"].(string)+"?"+q.Encode(), account).Query()
	if back.Has("iss") != p.shape.AnswersIss {
		t.Errorf("the answer is %v", back)
	}
	return oidcToken(t, p, d, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "code_verifier": {"verifier"}, "redirect_uri": {"http://127.0.0.1:9/cb"},
	})
}

func oidcToken(t *testing.T, p *OIDCProvider, d map[string]any, form url.Values) (answer map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d["token_endpoint"].(string), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(p.ClientID, p.ClientSecret)
	doJSON(t, r, &answer)
	return answer
}

func oidcClaims(t *testing.T, answer map[string]any) (claims map[string]any) {
	t.Helper()
	text, _ := answer["id_token"].(string)
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatalf("%v in %v", err, answer)
	}
	if err := token.Claims(&oidcKey().PublicKey, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func getJSON(t *testing.T, at, token string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	doJSON(t, r, into)
}

func doJSON(t *testing.T, r *http.Request, into any) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", r.URL, err)
	}
}
