package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func (p *OIDCProvider) tokens(g oidcGrant, refreshed bool) Object {
	p.issued++
	access := fmt.Sprintf("opaque-access-%d", p.issued)
	p.access[access] = g
	answer := Object{"access_token": access, "token_type": "Bearer", "expires_in": 3600, "scope": strings.Join(g.scopes, " ")}
	if !refreshed || p.shape.RefreshedIDToken {
		answer["id_token"] = p.idToken(g, access)
	}
	if g.offline && (!refreshed || p.shape.Rotates) {
		next := fmt.Sprintf("refresh-%d", p.issued)
		p.refresh[next] = g
		answer["refresh_token"] = next
	}
	return answer
}

func (p *OIDCProvider) idToken(g oidcGrant, access string) string {
	now := p.Now()
	claims := Object{"iss": p.Issuer, "aud": p.ClientID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if len(p.shape.Audience) > 0 {
		claims["aud"] = append([]string{p.ClientID}, p.shape.Audience...)
	}
	sum := sha256.Sum256([]byte(access))
	for name, claim := range map[string]struct {
		has   bool
		value any
	}{
		"azp": {p.shape.Azp, p.ClientID}, "nbf": {p.shape.Nbf, now.Unix()}, "sid": {p.shape.SID, g.sid},
		"auth_time": {p.shape.AuthTime, g.authTime.Unix()},
		"at_hash":   {p.shape.AtHash, base64.RawURLEncoding.EncodeToString(sum[:16])},
	} {
		if claim.has {
			claims[name] = claim.value
		}
	}
	maps.Copy(claims, p.shape.given(p.People[g.account].IDToken, g.scopes))
	if p.Claims != nil {
		p.Claims(claims)
	}
	return p.Sign("JWT", claims)
}

// Sign returns a token with these claims, signed by the provider.
func (p *OIDCProvider) Sign(typ string, claims Object) string {
	signer, err := jose.NewSigner(p.key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		panic(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

func (p *OIDCProvider) userinfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, ok := p.access[token]
	person, known := p.People[g.account]
	if !ok || !known {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	info := person.Userinfo
	if info == nil {
		info = person.IDToken
	}
	Document(p.shape.given(info, g.scopes))(w, r)
}
