package accounts

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// Answer is what a provider sent a browser back with.
type Answer struct {
	// State, Code, Iss and Error are the parameters of the answer (RFC 6749
	// section 4.1.2, RFC 9207 section 2); each empty when absent.
	State, Code, Iss, Error string
	// Path is the path of ours that was called.
	Path string
	// Browser is the hash of the browser's cookie.
	Browser storage.Hash `json:"-"`
	// Present reports with nil that the person who left is still there, in this
	// browser, and may connect the server. It is asked before the code is used.
	Present func(p storage.Authentication, server string) error `json:"-"`
}

// SealAnswer returns what the provider said for the address of another page of
// ours, where more is known of who is there.
func (cn *connector) SealAnswer(a Answer) string {
	return base64.RawURLEncoding.EncodeToString(cn.seal(a, "answer", cn.cfg.Issuer))
}

// OpenAnswer reverses SealAnswer. What is no such address belongs to no request.
func (cn *connector) OpenAnswer(sealed string) (a Answer, err error) {
	box, err := base64.RawURLEncoding.DecodeString(sealed)
	if err == nil {
		err = cn.open(box, &a, "answer", cn.cfg.Issuer)
	}
	if err != nil {
		return Answer{}, &client.Error{Problem: RequestEnded, Cause: err}
	}
	return a, nil
}

// Outcome is how a connect request ended.
type Outcome struct {
	Server   string
	Owner    string
	ReturnTo string
	// Connected is set if the connection works now.
	Connected bool
}

// Finish ends a connect request, once: it checks the answer against what was recorded,
// exchanges the code and stores the connection. With an Error, the Outcome
// still says where the person came from, unless the request is not theirs.
func (cn *connector) Finish(ctx context.Context, a Answer) (Outcome, error) {
	state, p, err := cn.claim(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	event.Learn(ctx, event.Event{
		Server: state.Server, Provider: p.Binding.Provider, Person: p.Authentication.Identity.Subject, Identity: p.Authentication.Identity.Kind,
		Flow: p.Authentication.FlowID,
	})
	storage.ReadAhead(ctx, cn.deps.Store, storage.Wanted{Issuer: state.Issuer, Session: p.Authentication.Session, Connection: state.ConnectionKey, Flow: p.Authentication.FlowID, Once: p.SingleUse})
	if err = checkPresent(a, state.ConnectionKey, p); err == nil {
		err = cn.complete(ctx, a, state.ConnectionKey, p)
	}
	cn.statuses.connectEnded(state.ConnectionKey, err)
	return Outcome{Server: state.Server, Owner: state.Owner, ReturnTo: p.ReturnTo, Connected: err == nil}, err
}

// checkPresent decides whether who left is who came back. A shared connection
// is nobody's, and a program is never there: whoever has the link that an operator
// asked for connects it, once.
func checkPresent(a Answer, k storage.ConnectionKey, p pendingConnect) error {
	switch {
	case k.Owner == storage.SharedOwner, p.SingleUse != (storage.Hash{}) && identity.IsServiceSubject(k.Owner):
		return nil
	case a.Present == nil:
		return errLeft
	}
	return a.Present(p.Authentication, k.Server)
}

// complete makes a connection of the answer to a request that was claimed.
func (cn *connector) complete(ctx context.Context, a Answer, k storage.ConnectionKey, p pendingConnect) error {
	s := cn.server(k.Server)
	if !connectable(s, k.Owner) {
		return &client.Error{Problem: UnknownServer}
	}
	if err := cn.checkSender(a, p); err != nil {
		return err
	}
	if err := cn.checkAnswer(s, a, p.Binding); err != nil {
		return err
	}
	if err := cn.connections.checkUnused(ctx, p.SingleUse); err != nil {
		return err
	}
	if err := cn.checkRoom(ctx, s, k, p.Authentication); err != nil {
		return err
	}
	// The browser may go away now; the tokens must not be lost with it.
	ctx = context.WithoutCancel(ctx)
	reply, err := cn.exchange(ctx, s, p, a.Code)
	if err != nil {
		return err
	}
	cn.registrar.noteProven(ctx, s.ID, p.Binding)
	return cn.saveTokens(ctx, s, k, p, reply)
}

// claim ends the request that the state belongs to.
func (cn *connector) claim(ctx context.Context, a Answer) (storage.ConnectState, pendingConnect, error) {
	var p pendingConnect
	hash := storage.HashOf(a.State)
	state, verdict, err := cn.deps.Store.ClaimConnectState(ctx, hash, a.Browser, cn.deps.Now())
	switch {
	case err != nil:
		return state, p, err
	case verdict == storage.WrongBrowser:
		return state, p, &client.Error{Problem: OtherBrowser}
	case verdict != storage.OK || state.Issuer != cn.cfg.Issuer:
		return state, p, &client.Error{Problem: RequestEnded}
	}
	err = cn.open(state.Secret, &p, sealed.ConnectState(state.ConnectionKey, hash)...)
	p.KeepUntil = cn.fromStore(p.KeepUntil)
	return state, p, err
}

// checkSender decides whether the answer is the provider's that the person was
// sent to, before anything is sent anywhere.
func (cn *connector) checkSender(a Answer, p pendingConnect) error {
	// The path tells apart the answers of different providers (RFC 9700
	// section 4.4); so does iss (RFC 9207 section 2.4), byte by byte,
	// compared with what the provider's own metadata says:
	//
	//	             advertised   not advertised
	//	iss equal    go on        go on
	//	iss differs  refuse       refuse
	//	iss absent   refuse       go on
	if cn.cfg.Issuer+a.Path != p.RedirectURI {
		return client.Errorf(client.NotThatProvider, "the answer came to the path of another provider")
	}
	if p.CheckIss && a.Iss != "" && a.Iss != p.Binding.Provider {
		return client.Errorf(client.NotThatProvider, "iss is %s, not the provider's issuer %s", client.LoggedURL(a.Iss), p.Binding.Provider)
	}
	if p.IssRequired && a.Iss == "" {
		return client.Errorf(client.NotThatProvider, "iss is missing")
	}
	return nil
}

// checkAnswer decides what the provider's answer says.
func (cn *connector) checkAnswer(s *config.Server, a Answer, to binding) error {
	switch a.Error {
	case "", "access_denied", "server_error", "temporarily_unavailable", "invalid_scope", "invalid_target",
		"login_required", "consent_required", "interaction_required":
		cn.registrar.attempted(s.ID, to.ClientID, Attempt{What: clientKnown})
	default: // some send people back although they do not know the client
		cn.registrar.attempted(s.ID, to.ClientID, Attempt{What: clientDoubted})
	}
	if a.Error != "" {
		return cn.profile(s).AnswerProblem(a.Error, knownAs(s, to))
	}
	if a.Code == "" || len(a.Code) > client.MaxTokenLen {
		return client.Errorf(client.ProviderRefused, "no usable code")
	}
	return nil
}

// exchange redeems the code (RFC 6749 section 4.1.3), once: a code that may
// have been used is not sent again.
func (cn *connector) exchange(ctx context.Context, s *config.Server, p pendingConnect, code string) (*client.Tokens, error) {
	c, err := cn.registrar.clientOf(ctx, s, p.Binding)
	if errors.Is(err, errClientGone) {
		return nil, &client.Error{Problem: client.ProviderRefused, Cause: err}
	}
	if err != nil {
		return nil, err
	}
	reply, err := cn.oauthClient(s).RedeemCode(ctx, p.Binding.tokenEndpoint(), *c, code, p.Verifier, p.RedirectURI)
	var failure *client.TokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	if err := cn.registrar.noteRefusal(ctx, s, p.Binding, failure); err != nil {
		return nil, err
	}
	return nil, cn.profile(s).ExchangeProblem(failure, knownAs(s, p.Binding))
}

// maxAccountName bounds what is kept of the name of an account.
const maxAccountName = 100

// accountOf returns what the provider tells of the account that the person
// connected. It is asked once, when they connect.
func (cn *connector) accountOf(ctx context.Context, s *config.Server, p pendingConnect, r *client.Tokens) client.Account {
	account, err := cn.oauthClient(s).Account(ctx, client.AccountQuery{
		Members: s.Auth.AccountName, URL: s.Auth.AccountURL,
		Issuer: p.Binding.Provider, ClientID: p.Binding.ClientID, Userinfo: p.Userinfo,
	}, r)
	if err != nil {
		if len(s.Auth.AccountName) > 0 || len(s.Auth.ExpectDomain) > 0 { // else nobody expects it
			cn.deps.Events.Record(ctx, event.Event{Kind: event.ConnectionUnnamed, Server: s.ID, Provider: p.Binding.Provider, Err: err})
		}
	}
	return account
}

// nameOf returns what the person recognises an account by; "" if the provider does
// not tell. It is theirs to see, and nothing depends on it.
func nameOf(account client.Account) string {
	var clean []string
	for _, name := range account.Names {
		if name, err := identity.CleanName(name); err == nil {
			clean = append(clean, name)
		}
	}
	whole := []rune(strings.Join(clean, " · "))
	return string(whole[:min(len(whole), maxAccountName)])
}

// saveTokens stores what came of a request, and what the account is called.
func (cn *connector) saveTokens(ctx context.Context, s *config.Server, k storage.ConnectionKey, p pendingConnect, r *client.Tokens) error {
	now, account := cn.deps.Now(), cn.accountOf(ctx, s, p, r)
	c := storage.ConnectionReplacement{
		Connection: storage.Connection{ConnectionKey: k, Provider: p.Binding.Provider, Scopes: r.Scopes, ExpiresAt: p.KeepUntil},
		UsesUp:     usesUp(p.SingleUse, now),
	}
	if c.Scopes == nil {
		c.Scopes = p.Binding.Scopes // RFC 6749 section 5.1: identical to the request
	}
	if r.ExpiresIn > 0 {
		c.TokenExpiresAt = now.Add(r.ExpiresIn)
	}
	made := secrets{AccessToken: r.AccessToken, RefreshToken: r.RefreshToken, IssuedAt: now, Binding: p.Binding, Account: nameOf(account)}
	if err := checkDomain(s, account); err != nil {
		if p.Authentication.FlowID != "" {
			made.Person = p.Authentication.Identity.Subject
		}
		cn.connections.revoker.revokeUnsaved(ctx, c.Connection, made, false)
		return err
	}
	return cn.connections.save(ctx, c, p.Authentication, p.Before, made)
}

// usesUp returns what the connection of a request with this SingleUse uses up, or nil.
// That decides which of several requests with the same makes the connection.
func usesUp(once storage.Hash, now time.Time) *storage.OneTime {
	if once == (storage.Hash{}) {
		return nil
	}
	return &storage.OneTime{Hash: once, ExpiresAt: now.Add(singleUseLifetime)}
}
