package oidc

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// groupsScope is what providers call their scope for groups, if they have one.
const groupsScope = "groups"

// login is what is kept of a login while the person is away.
type login struct {
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	// SelectAccount tells that the provider was asked to let the person choose.
	SelectAccount bool `json:"select_account,omitempty"`
}

// start returns where a person signs in.
func (p *Provider) start(ctx context.Context, l identity.Login) (identity.Redirect, error) {
	at, s, err := p.found(ctx)
	if err != nil {
		return identity.Redirect{}, err
	}
	prompt := p.promptFor(s, l)
	begun := login{
		Verifier: oauth.NewSecret(""), Nonce: oauth.NewSecret(""),
		SelectAccount: prompt != p.o.Prompt && strings.HasSuffix(prompt, promptSelectAccount),
	}
	secret, err := json.Marshal(begun)
	if err != nil {
		return identity.Redirect{}, err
	}
	request := client.AuthorizationRequest{
		ClientID: p.o.ClientID, RedirectURI: l.CallbackURL, State: l.State, Verifier: begun.Verifier, Nonce: begun.Nonce,
		Scopes: p.scopes(s), Prompt: prompt, MaxAge: p.maxAge(), ACRValues: p.o.ACRValues,
	}
	target, err := request.URL(s.AuthorizationEndpoint, at.client.Quirks)
	return identity.Redirect{URL: target, Secret: secret}, err
}

const (
	promptLogin         = "login"
	promptConsent       = "consent"
	promptSelectAccount = "select_account"
)

// promptFor returns what the provider is to ask in a login (OpenID Connect Core
// section 3.1.2.1). It would give whoever wants another account the one that is
// signed in there; so it is to ask for the account or, if it says that it has no
// such question or refused it, for a login. Only an operator who asks for one of
// these decided on that.
func (p *Provider) promptFor(s *source, l identity.Login) string {
	operator := p.o.Prompt
	if !l.OtherAccount || operator != "" && operator != promptConsent {
		return operator
	}
	for _, prompt := range []string{promptSelectAccount, promptLogin} {
		if s.knowsPrompt(prompt) && (prompt == promptLogin || !p.noSelectAccount.Load()) {
			return strings.TrimPrefix(operator+" "+prompt, " ")
		}
	}
	return operator
}

// knowsPrompt reports whether the provider has a prompt, or does not say which.
func (s *source) knowsPrompt(prompt string) bool {
	var known []string
	return json.Unmarshal(s.Prompts, &known) != nil || len(known) == 0 || slices.Contains(known, prompt)
}

func (p *Provider) maxAge() string {
	if p.o.MaxAge == 0 {
		return ""
	}
	return strconv.Itoa(int(p.o.MaxAge.Seconds()))
}

// scopes returns what to ask for. Without offline_access there often is no refresh
// token, and so nothing to ask about a person later. Some providers have a scope
// for groups, and others refuse what they do not know.
func (p *Provider) scopes(s *source) []string {
	if len(p.o.Scopes) > 0 {
		return oauth.UnionScopes([]string{"openid"}, p.o.Scopes)
	}
	scopes := []string{"openid", "profile"}
	if p.o.Email != "" {
		scopes = append(scopes, "email")
	}
	supported := s.ScopesSupported.Scopes()
	if p.o.GroupsClaim == DefaultGroupsClaim && slices.Contains(supported, groupsScope) {
		scopes = append(scopes, groupsScope)
	}
	if slices.Contains(supported, oauth.OfflineAccess) {
		scopes = append(scopes, oauth.OfflineAccess)
	}
	return scopes
}

// finish returns who came back. The state was the browser's, and is used up.
func (p *Provider) finish(ctx context.Context, a identity.Answer) (identity.Person, error) {
	var begun login
	if err := json.Unmarshal(a.Secret, &begun); err != nil {
		return identity.Person{}, err
	}
	at, s, err := p.found(ctx)
	if err != nil {
		return identity.Person{}, err
	}
	if err := p.checkAnswer(s, begun, a); err != nil {
		return identity.Person{}, err
	}
	tokens, err := at.client.RedeemCode(ctx, s.endpoint(), p.credentials(at, s), a.Query.Get("code"), begun.Verifier, a.CallbackURL)
	if err != nil {
		return identity.Person{}, p.exchangeFailed(at, err)
	}
	if tokens.IDToken == "" {
		return identity.Person{}, p.denyAndWarn(untrusted, errors.New("no ID token came with the tokens; is this an OpenID Connect provider, and is the scope openid among those of this client there?"))
	}
	token, err := p.verifyIDToken(ctx, at, s, tokens)
	if err != nil {
		return identity.Person{}, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(begun.Nonce)) != 1 {
		return identity.Person{}, p.denyAndWarn(untrusted, errors.New("the ID token is for another login: its nonce is not that of this one"))
	}
	if err := p.checkAuthentication(at, token); err != nil {
		return identity.Person{}, err
	}
	return p.person(ctx, at, s, token, tokens)
}

// endpoint returns the token endpoint.
func (s *source) endpoint() client.Endpoint {
	return client.Endpoint{URL: s.TokenEndpoint, Issuer: s.Issuer}
}

func (p *Provider) credentials(at *connected, s *source) client.Credentials {
	return *at.client.Profile.ConfiguredCredentials(p.o.ClientID, p.o.ClientSecret, s.AuthMethods)
}

// checkAnswer refuses what is not an answer of this provider with a code (RFC 6749
// section 4.1.2, RFC 9207). Whose answer it is comes first: nothing is made of
// what somebody else says.
func (p *Provider) checkAnswer(s *source, begun login, a identity.Answer) error {
	iss, named := a.Query.Get("iss"), a.Query.Has("iss")
	if named && iss != s.Issuer || !named && bool(s.AuthorizationResponseIss) {
		return p.denyAndWarn(otherProvider, fmt.Errorf("the answer is of the issuer %s, not of %s", client.LoggedURL(iss), s.Issuer))
	}
	if !a.Query.Has("error") {
		if a.Query.Get("code") == "" {
			return p.denyAndWarn(refused, errors.New("the answer has neither a code nor an error"))
		}
		return nil
	}
	switch code := client.KnownCode(a.Query.Get("error")); code {
	case "access_denied":
		return p.deny(declined, errors.New("the provider answered access_denied"))
	case "server_error", "temporarily_unavailable":
		return &identity.Unavailable{Cause: fmt.Errorf("the provider answered %s", code)}
	case "invalid_scope":
		return p.denyAndWarn(refused, errors.New("the provider answered invalid_scope; allow these scopes for the client there, or write others with the option scopes: without offline_access, if that is the one"))
	case "login_required", "interaction_required", "consent_required":
		return p.denyAndWarn(refused, fmt.Errorf("the provider answered %s; check the option prompt", code))
	default:
		if begun.SelectAccount { // which a provider need not know, nor say so
			p.noSelectAccount.Store(true)
			return p.deny(noChoice, fmt.Errorf("the provider answered %q when it was to ask for the account, with prompt=select_account; from now on prompt=login is sent", cmp.Or(code, "an error")))
		}
		return p.denyAndWarn(refused, fmt.Errorf("the provider answered %q; check, there, the client with the client_id, and that its redirect URI is %s", cmp.Or(code, "an error"), a.CallbackURL))
	}
}

// exchangeFailed returns why a code was not redeemed.
func (p *Provider) exchangeFailed(at *connected, err error) error {
	failure := (*client.TokenError)(nil)
	if !errors.As(err, &failure) {
		return err
	}
	problem := at.client.Profile.ExchangeProblem(failure, client.Known{ClientID: p.o.ClientID, Configured: true})
	if problem.Problem == client.ProviderDown {
		return &identity.Unavailable{Cause: problem.Cause}
	}
	return p.denyAndWarn(refused, fmt.Errorf("the code was not redeemed: %w", problem.Cause))
}

// checkAuthentication refuses people who proved who they are too long ago, or in
// another way than the operator asks for. Providers may ignore what was asked of
// them; so it is looked up in their answer.
func (p *Provider) checkAuthentication(at *connected, token *idToken) error {
	if p.o.MaxAge > 0 {
		if token.AuthTime == nil {
			return p.denyAndWarn(tooOld, errors.New("the ID token has no auth_time, though max_age was asked for"))
		}
		if age := at.client.Now().Sub(token.AuthTime.Time()); age > p.o.MaxAge+skew {
			return p.deny(tooOld, fmt.Errorf("the person proved who they are %s ago, max_age is %s", age.Round(1e9), p.o.MaxAge))
		}
	}
	if len(p.o.ACRValues) > 0 && !slices.Contains(p.o.ACRValues, token.ACR) {
		return p.deny(tooWeak, fmt.Errorf("the acr of the ID token is none of %s", strings.Join(p.o.ACRValues, " ")))
	}
	return nil
}
