package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// accountTimeout is how long a person who comes back waits for the name of
// their account: what is connected works without it.
const accountTimeout = 3 * time.Second

// AccountQuery says where the name of an account stands.
type AccountQuery struct {
	// Members of an answer, each with dots between those inside of each other.
	// Without any, the claims of OpenID Connect tell it.
	Members []string
	// URL answers a GET with the access token. Without one it is the token
	// response that has the Members.
	URL string
	// Issuer and ClientID are what an id_token has to be from and for.
	Issuer, ClientID string
	// Userinfo is the provider's userinfo endpoint, if it has one and would
	// answer there.
	Userinfo string
}

// Account is what a provider says of an account, unchecked.
type Account struct {
	// Names are what a person recognises it by: as many as were asked for, an e-mail
	// address, a user's name.
	Names []string
	// Addresses are those of them that stand where the provider vouches for them, or
	// where the operator says that an e-mail address does.
	Addresses []string
}

// Account returns what the provider says of the account that the tokens are for. An
// error is for the operator's log.
func (c *Client) Account(ctx context.Context, q AccountQuery, t *Tokens) (Account, error) {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	switch {
	case q.URL != "":
		body, err := c.askAccount(ctx, q.URL, t.AccessToken)
		names := members(body, q.Members)
		return Account{names, names}, err
	case len(q.Members) > 0:
		names := members(t.body, q.Members)
		return Account{names, names}, nil
	}
	claims, err := idTokenClaims(t, q.Issuer, q.ClientID, c.Now())
	if account := claims.account(); err != nil || account.Names != nil || q.Userinfo == "" {
		return account, err
	}
	body, err := c.askAccount(ctx, q.Userinfo, t.AccessToken)
	if err != nil {
		return Account{}, err
	}
	var said accountClaims
	if err := strictjson.Unmarshal(body, maxProviderReply, &said); err != nil {
		return Account{}, err
	}
	if claims.Subject != "" && said.Subject != claims.Subject { // OpenID Connect Core section 5.3.2
		return Account{}, errors.New("userinfo is about somebody else than the id_token")
	}
	return said.account(), nil
}

// askAccount gets what a URL says of the account of an access token.
func (c *Client) askAccount(ctx context.Context, address, accessToken string) ([]byte, error) {
	document, err := c.FetchJSON(ctx, address, accessToken, maxProviderReply)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", LoggedURL(address), err)
	}
	return document.Body, nil
}

// members returns the texts and numbers in a JSON document at the paths.
func members(document []byte, paths []string) []string {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var root any
	if decoder.Decode(&root) != nil {
		return nil
	}
	var names []string
	for _, path := range paths {
		switch at := member(root, strings.Split(path, ".")).(type) {
		case string:
			names = append(names, at)
		case json.Number:
			names = append(names, at.String())
		}
	}
	return names
}

// member returns what is at the path, or nil.
func member(at any, path []string) any {
	for _, name := range path {
		switch inside := at.(type) {
		case map[string]any:
			at = inside[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(inside) {
				return nil
			}
			at = inside[i]
		default:
			return nil
		}
	}
	return at
}

// accountClaims are those of an id_token or a userinfo answer by which a person
// recognises an account (OpenID Connect Core section 5.1).
type accountClaims struct {
	Issuer   string    `json:"iss"`
	Subject  string    `json:"sub"`
	Audience audience  `json:"aud"`
	Party    string    `json:"azp"`
	Expires  float64   `json:"exp"`
	Email    string    `json:"email"`
	Verified *flexBool `json:"email_verified"`
	Username string    `json:"preferred_username"`
	Name     string    `json:"name"`
}

// account returns the best of them, if any. An e-mail address that is said not to
// be verified could be anybody's.
func (a accountClaims) account() Account {
	if a.Email != "" && (a.Verified == nil || bool(*a.Verified)) {
		return Account{[]string{a.Email}, []string{a.Email}}
	}
	for _, name := range []string{a.Username, a.Name} {
		if name != "" {
			return Account{Names: []string{name}}
		}
	}
	return Account{}
}

// flexBool is true, or "true" as some providers write it.
type flexBool bool

func (b *flexBool) UnmarshalJSON(text []byte) error {
	*b = flexBool(string(text) == "true" || string(text) == `"true"`)
	return nil
}

// audience is one, or several.
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audience, 1)
	return json.Unmarshal(text, &(*a)[0])
}

// idTokenClaims returns the claims of the id_token that came with the tokens,
// none if there is none. Its signature need not be checked where it came from
// the token endpoint itself, over TLS (OpenID Connect Core section 3.1.3.7); it
// names an account to its owner, and decides nothing.
func idTokenClaims(t *Tokens, issuer, clientID string, now time.Time) (accountClaims, error) {
	if t.IDToken == "" {
		return accountClaims{}, nil
	}
	var claims accountClaims
	parts := strings.Split(t.IDToken, ".")
	if len(parts) != 3 {
		return accountClaims{}, errors.New("the id_token is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return accountClaims{}, errors.New("the id_token is no JWT")
	}
	if err := strictjson.Unmarshal(payload, maxProviderReply, &claims); err != nil {
		return accountClaims{}, fmt.Errorf("id_token: %w", err)
	}
	switch {
	case !SameIssuer(claims.Issuer, issuer):
		return accountClaims{}, errors.New("the id_token is of another issuer")
	case !slices.Contains(claims.Audience, clientID) || len(claims.Audience) > 1 && claims.Party != clientID || claims.Party != "" && claims.Party != clientID:
		return accountClaims{}, errors.New("the id_token is for another client")
	case float64(now.Unix()) >= claims.Expires:
		return accountClaims{}, errors.New("the id_token has expired")
	}
	return claims, nil
}

// UserinfoOf returns the userinfo endpoint of a provider that would answer there
// for the scopes: OpenID Connect gives no claims without openid.
func (p *Provider) UserinfoOf(scopes []string) string {
	if !slices.Contains(scopes, "openid") {
		return ""
	}
	if u, err := url.Parse(p.UserinfoEndpoint); err != nil || u.Hostname() == "" {
		return ""
	}
	return p.UserinfoEndpoint
}
