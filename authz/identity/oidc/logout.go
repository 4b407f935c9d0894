package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	maxLogoutTokenLen = 16 << 10
	// logoutLifetime is how long a logout token is good. OpenID Connect
	// Back-Channel Logout section 2.4 recommends two minutes.
	logoutLifetime = 10 * time.Minute
)

// logout returns whom a logout token is about (OpenID Connect Back-Channel Logout
// section 2.6). Whether it was used before is for the caller.
func (p *Provider) logout(ctx context.Context, token string) (identity.Logout, error) {
	refuse := func(cause error) (identity.Logout, error) {
		return identity.Logout{}, p.denyAndWarn(untrusted, fmt.Errorf("the logout token: %w", cause))
	}
	at, s, err := p.found(ctx)
	if err != nil {
		return identity.Logout{}, err
	}
	if len(token) > maxLogoutTokenLen {
		return refuse(fmt.Errorf("longer than %d bytes", maxLogoutTokenLen))
	}
	verifier, keys := p.verifier(at, s)
	verified, err := verifier.VerifyLogout(ctx, token)
	if keys.failure != nil {
		return identity.Logout{}, &identity.Unavailable{Cause: fmt.Errorf("the keys of the provider: %w", keys.failure)}
	}
	if err != nil {
		return refuse(withoutQuotes(err))
	}
	if err := checkLogout(verified, token, at.client.Now()); err != nil {
		return refuse(err)
	}
	out := identity.Logout{Session: verified.SessionID, ID: verified.TokenID, ExpiresAt: verified.Expiry.Add(skew)}
	if verified.Subject != "" {
		out.Subject = p.subject(verified.Subject)
	}
	return out, nil
}

// checkLogout applies the rules that go-oidc leaves to its callers.
func checkLogout(verified *oidc.LogoutToken, token string, now time.Time) error {
	var payload struct {
		Events map[string]map[string]any `json:"events"`
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return errors.New("it is no signed JWT")
	}
	if err := strictjson.Unmarshal(jws.UnsafePayloadWithoutVerification(), maxLogoutTokenLen, &payload); err != nil { // which was verified
		return err
	}
	typ, _ := jws.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string)
	switch {
	case typ != "" && !strings.EqualFold(strings.TrimPrefix(strings.ToLower(typ), "application/"), "logout+jwt") && !strings.EqualFold(typ, "JWT"):
		return errors.New("its typ is that of another kind of token")
	case payload.Events["http://schemas.openid.net/event/backchannel-logout"] == nil:
		return errors.New("its events have no back-channel logout")
	case verified.Subject == "" && verified.SessionID == "" || len(verified.Subject) > maxSubject || len(verified.SessionID) > maxSubject:
		return errors.New("it has no proper sub and no proper sid")
	case verified.TokenID == "" || len(verified.TokenID) > maxSubject:
		return errors.New("it has no proper jti")
	case verified.IssuedAt.IsZero() || verified.IssuedAt.Unix() == 0 || verified.Expiry.IsZero() || verified.Expiry.Unix() == 0:
		return errors.New("it has no iat or no exp")
	case !now.Before(verified.Expiry.Add(skew)):
		return errors.New("it has ended; are the clocks of this machine and the provider right?")
	case verified.IssuedAt.After(now.Add(skew)):
		return errors.New("it is from the future; are the clocks of this machine and the provider right?")
	case verified.IssuedAt.Before(now.Add(-logoutLifetime - skew)):
		return errors.New("it is too old; are the clocks of this machine and the provider right?")
	}
	return nil
}

// maxSignOutHint bounds which ID tokens are kept to sign out with: the record of a
// person is read often.
const maxSignOutHint = 8 << 10

// signOutHint returns what is kept of an ID token to sign out with.
func signOutHint(idToken string) string {
	if len(idToken) > maxSignOutHint {
		return ""
	}
	return idToken
}

// signOut returns how a person signs out at the provider, if they can, and from
// where they come back to an address of ours (OpenID Connect RP-Initiated Logout
// section 2). An ID token goes into a form alone: addresses are logged.
func (p *Provider) signOut(returnTo, idToken string) (identity.SignOut, bool) {
	at := p.at.Load()
	if at == nil {
		return identity.SignOut{}, false
	}
	s, ok := at.source.Last()
	if !ok || s.EndSessionEndpoint == "" {
		return identity.SignOut{}, false
	}
	u, err := url.Parse(s.EndSessionEndpoint)
	if err != nil {
		return identity.SignOut{}, false
	}
	q := u.Query()
	q.Set("client_id", p.o.ClientID)
	q.Set("post_logout_redirect_uri", returnTo)
	u.RawQuery = q.Encode()
	out := identity.SignOut{URL: u.String()}
	if idToken != "" {
		out.Form = s.EndSessionEndpoint
		out.Fields = map[string]string{"id_token_hint": idToken, "client_id": p.o.ClientID, "post_logout_redirect_uri": returnTo}
	}
	return out, true
}
