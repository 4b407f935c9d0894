package accounts

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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
func (b *Broker) SealAnswer(a Answer) string {
	return base64.RawURLEncoding.EncodeToString(b.seal(a, "answer", b.cfg.Issuer))
}

// OpenAnswer reverses SealAnswer. What is no such address belongs to no trip.
func (b *Broker) OpenAnswer(sealed string) (a Answer, err error) {
	box, err := base64.RawURLEncoding.DecodeString(sealed)
	if err == nil {
		err = b.open(box, &a, "answer", b.cfg.Issuer)
	}
	if err != nil {
		return Answer{}, problem(TripEnded, err)
	}
	return a, nil
}

// Outcome is how a trip ended.
type Outcome struct {
	Server   string
	Owner    string
	ReturnTo string
	// Connected tells that the connection works now.
	Connected bool
}

// Finish ends a trip, once: it checks the answer against what was recorded,
// exchanges the code and stores the connection. With an Error, the Outcome
// still says where the person came from, unless the trip is not theirs.
func (b *Broker) Finish(ctx context.Context, a Answer) (Outcome, error) {
	state, t, err := b.claimTrip(ctx, a)
	if err != nil {
		return Outcome{}, err
	}
	if err = checkPresent(a, state.ConnectionKey, t); err == nil {
		err = b.bringBack(ctx, a, state.ConnectionKey, t)
	}
	b.connectEnded(state.ConnectionKey, err)
	return Outcome{Server: state.Server, Owner: state.Owner, ReturnTo: t.ReturnTo, Connected: err == nil}, err
}

// checkPresent decides whether who left is who came back. A shared connection
// is nobody's: whoever has its link connects it.
func checkPresent(a Answer, k storage.ConnectionKey, t trip) error {
	switch {
	case k.Owner == storage.SharedOwner:
		return nil
	case a.Present == nil:
		return errLeft
	}
	return a.Present(t.Authentication, k.Server)
}

// bringBack makes a connection of the answer to a trip that was claimed.
func (b *Broker) bringBack(ctx context.Context, a Answer, k storage.ConnectionKey, t trip) error {
	s := b.servers[k.Server]
	if !s.isConnectedBy(k.Owner) {
		return problem(UnknownServer, nil)
	}
	if err := b.checkSender(a, t); err != nil {
		return err
	}
	if err := b.checkAnswer(s, a, t.Link); err != nil {
		return err
	}
	if err := b.checkUnused(ctx, t.Once); err != nil {
		return err
	}
	// The browser may go away now; the tokens must not be lost with it.
	ctx = context.WithoutCancel(ctx)
	reply, err := b.exchange(ctx, s, t, a.Code)
	if err != nil {
		return err
	}
	if err := b.saveTokens(ctx, k, t, reply); err != nil {
		return err
	}
	b.proved(ctx, s, t.Link)
	return nil
}

// claimTrip ends the trip that the state belongs to.
func (b *Broker) claimTrip(ctx context.Context, a Answer) (storage.ConnectState, trip, error) {
	var t trip
	hash := storage.HashOf(a.State)
	state, verdict, err := b.deps.Store.ClaimConnectState(ctx, hash, a.Browser, b.deps.Now())
	switch {
	case err != nil:
		return state, t, err
	case verdict == storage.WrongBrowser:
		return state, t, problem(OtherBrowser, nil)
	case verdict != storage.OK || state.Issuer != b.cfg.Issuer:
		return state, t, problem(TripEnded, nil)
	}
	return state, t, b.open(state.Secret, &t, tripContext(state.ConnectionKey, hash)...)
}

// checkSender decides whether the answer is the provider's that the person was
// sent to, before anything is sent anywhere.
func (b *Broker) checkSender(a Answer, t trip) error {
	// The path tells apart the answers of different providers (RFC 9700
	// section 4.4); so does iss (RFC 9207 section 2.4), byte by byte,
	// compared with what the provider's own metadata says:
	//
	//	             advertised   not advertised
	//	iss equal    go on        go on
	//	iss differs  refuse       refuse
	//	iss absent   refuse       go on
	if b.cfg.Issuer+a.Path != t.RedirectURI {
		return problemf(NotThatProvider, "the answer came to the path of another provider")
	}
	if t.CheckIss && a.Iss != "" && a.Iss != t.Link.Provider {
		return problemf(NotThatProvider, "iss is %s, not the provider's issuer %s", client.LoggedURL(a.Iss), t.Link.Provider)
	}
	if t.IssRequired && a.Iss == "" {
		return problemf(NotThatProvider, "iss is missing")
	}
	return nil
}

// checkAnswer decides what the provider's answer says.
func (b *Broker) checkAnswer(s *Server, a Answer, l link) error {
	key := b.departureKey(s, l.ClientID)
	switch a.Error {
	case "", "access_denied", "server_error", "temporarily_unavailable", "invalid_scope", "invalid_target",
		"login_required", "consent_required", "interaction_required":
		b.deps.Shared.departures.cameBack(key)
	default: // some send people back although they do not know the client
		b.deps.Shared.departures.doubt(key)
	}
	if profile := b.profile(s); a.Error != "" {
		return asProblem(profile.AnswerProblem(a.Error, s.known(l)))
	}
	if a.Code == "" || len(a.Code) > client.MaxTokenLen {
		return problemf(ProviderRefused, "no usable code")
	}
	return nil
}

// exchange redeems the code (RFC 6749 section 4.1.3), once: a code that may
// have been used is not sent again.
func (b *Broker) exchange(ctx context.Context, s *Server, t trip, code string) (*client.Tokens, error) {
	c, err := b.clientOf(ctx, s, t.Link)
	if errors.Is(err, errClientGone) {
		return nil, problem(ProviderRefused, err)
	}
	if err != nil {
		return nil, err
	}
	reply, err := b.oauthClient(s).RedeemCode(ctx, t.Link.tokenEndpoint(), *c, code, t.Verifier, t.RedirectURI)
	var failure *client.TokenError
	if !errors.As(err, &failure) {
		return reply, err
	}
	if err := b.noteRefusal(ctx, s, t.Link, failure); err != nil {
		return nil, err
	}
	profile := b.profile(s)
	return nil, asProblem(profile.ExchangeProblem(failure, s.known(t.Link)))
}

// saveTokens stores what came of a trip.
func (b *Broker) saveTokens(ctx context.Context, k storage.ConnectionKey, t trip, r *client.Tokens) error {
	now := b.deps.Now()
	c := storage.Connection{
		ConnectionKey: k, Provider: t.Link.Provider, Scopes: r.Scopes, ExpiresAt: t.KeepUntil, UsesUp: t.usesUp(now),
	}
	if c.Scopes == nil {
		c.Scopes = t.Link.Scopes // RFC 6749 section 5.1: identical to the request
	}
	if r.ExpiresIn > 0 {
		c.TokenExpiresAt = now.Add(r.ExpiresIn)
	}
	return b.save(ctx, c, t.Authentication, t.Seen, secrets{
		AccessToken: r.AccessToken, RefreshToken: r.RefreshToken, IssuedAt: now, Link: t.Link,
	})
}

// usesUp returns what the connection of a trip uses up, or nil. That decides
// which of several trips with the same Once makes the connection.
func (t trip) usesUp(now time.Time) *storage.OneTime {
	if t.Once == (storage.Hash{}) {
		return nil
	}
	return &storage.OneTime{Hash: t.Once, ExpiresAt: now.Add(singleUseLifetime)}
}
