package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// secret is what is kept, sealed, to ask about a person later.
type secret struct {
	RefreshToken string `json:"refresh_token"`
}

// secretOf returns the secret of a person, or nil without a refresh token.
func secretOf(refreshToken string) ([]byte, error) {
	if refreshToken == "" {
		return nil, nil
	}
	return json.Marshal(secret{refreshToken})
}

// renew asks the provider for new tokens, and by these about the person. A
// *client.TokenError in the error tells whether the refresh token may have been
// used up nevertheless.
func (p *Provider) renew(ctx context.Context, was identity.Person) (identity.Person, error) {
	var kept secret
	if err := json.Unmarshal(was.Secret, &kept); err != nil {
		return was, err
	}
	at, s, err := p.found(ctx)
	if err != nil {
		return was, err
	}
	tokens, err := at.client.Refresh(ctx, s.endpoint(), p.credentials(at, s), kept.RefreshToken, nil, client.RefreshParams{})
	if failure := (*client.TokenError)(nil); errors.As(err, &failure) && failure.Code == "invalid_grant" {
		return was, fmt.Errorf("%w: the provider does not renew what it gave out for them: %w", identity.ErrEnded, err)
	}
	if err != nil {
		return was, err
	}
	if tokens.RefreshToken == "" {
		tokens.RefreshToken = kept.RefreshToken
	}
	now, err := p.renewed(ctx, at, s, was, tokens)
	denied := (*identity.Denied)(nil)
	if errors.As(err, &denied) && (denied.Code == p.code(notAllowed) || denied.Code == p.code(groupOverage)) {
		err = fmt.Errorf("%w: %w", identity.ErrEnded, denied.Cause)
	}
	if err != nil {
		now = was
	}
	now.Session = cmp.Or(now.Session, was.Session)
	now.Secret, _ = secretOf(tokens.RefreshToken) // the one of before may be used up, whatever the answer is
	return now, err
}

// renewed returns the person that new tokens are about, who must be the one of
// before (OpenID Connect Core section 12.2). Without an ID token the UserInfo
// endpoint tells; without that, all that is known is that the provider still lets
// them in.
func (p *Provider) renewed(ctx context.Context, at *connected, s *source, was identity.Person, tokens *client.Tokens) (identity.Person, error) {
	if tokens.IDToken != "" {
		token, err := p.verifyIDToken(ctx, at, s, tokens)
		if err != nil {
			return was, err
		}
		if p.subject(token.Subject) != was.Subject {
			return was, p.denyAndWarn(untrusted, errors.New("the ID token that came when renewing is about somebody else (sub)"))
		}
		return p.person(ctx, at, s, token, tokens)
	}
	if s.UserinfoEndpoint == "" || p.o.Userinfo != nil && !*p.o.Userinfo {
		return was, nil
	}
	said, err := p.userinfo(ctx, at, s, was.Subject, tokens.AccessToken)
	if err != nil {
		return was, err
	}
	return p.admit(ctx, said.text("sub"), said)
}
