package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const maxClientIDLen = 2 << 10

// registration is a client that a provider registered (RFC 7591).
type registration struct {
	client
	RedirectURI string `json:"redirect_uri"`
}

// registeredClient returns our registration at a provider, and registers us
// where there is none that the provider still knows. All who ask at the same
// time share one.
func (b *Broker) registeredClient(ctx context.Context, s *Server, p *provider) (*client, error) {
	v, err, _ := b.registrations.Do(s.ID+" "+p.Issuer, func() (any, error) {
		ctx := context.WithoutCancel(ctx) // others wait for it too
		r, err := b.storedClient(ctx, s, p.Issuer)
		if err != nil {
			return nil, err
		}
		if r != nil && r.RedirectURI == b.redirectURI(s) && b.stillRegistered(ctx, s, p, r) {
			return &r.client, nil
		}
		return b.register(ctx, s, p)
	})
	if err != nil {
		return nil, err
	}
	return v.(*client), nil
}

// storedClient returns the registration at a provider, or nil. One that does
// not open is worth as much as none: a new one takes its place.
func (b *Broker) storedClient(ctx context.Context, s *Server, provider string) (*registration, error) {
	var r registration
	err := b.readClient(ctx, s, provider, &r)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if errors.Is(err, seal.ErrOpen) {
		b.log.Error("audit: our registration at a provider does not open: the record was changed or moved, or its key is missing",
			zap.String("server", s.ID), zap.String("provider", provider))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// forgetClient drops the registration at a provider that does not know it any
// more. One that took its place meanwhile stays, and so does what is not ours
// to drop: the id of our metadata document.
func (b *Broker) forgetClient(ctx context.Context, s *Server, provider, refused string) error {
	b.clients.Lock()
	defer b.clients.Unlock()
	r, err := b.storedClient(ctx, s, provider)
	if err != nil {
		return err
	}
	if r == nil || r.ID != refused {
		return nil
	}
	return b.deps.Store.DeleteUpstreamClient(ctx, b.cfg.Issuer, provider, s.ID)
}

// register registers us with a provider (RFC 7591 section 3).
func (b *Broker) register(ctx context.Context, s *Server, p *provider) (*client, error) {
	method := registrationAuthMethod(s.Quirks, p.AuthMethods)
	m := b.clientMetadata(s, "", method)
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	a, err := b.postRegistration(ctx, s, p.RegistrationEndpoint, body)
	if err != nil {
		return nil, err
	}
	r, expires, err := readRegistration(a, m)
	if err != nil {
		return nil, err
	}
	if !expires.After(b.deps.Now()) {
		expires = time.Time{} // 0 means never, and a secret that was just made has not ended yet
	}
	b.clients.Lock()
	defer b.clients.Unlock()
	if err := b.putClient(ctx, s, p.Issuer, r, expires); err != nil {
		return nil, err
	}
	return &r.client, nil
}

// registrationAuthMethod asks to be a confidential client where the provider
// has a way for it: we can keep a secret.
func registrationAuthMethod(q Quirks, supported []string) string {
	if q.AuthMethod != "" {
		return q.AuthMethod
	}
	for _, method := range []string{authBasic, authPost, authNone} {
		if slices.Contains(supported, method) {
			return method
		}
	}
	return authBasic
}

func (b *Broker) postRegistration(ctx context.Context, s *Server, endpoint string, body []byte) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, problemf(ProviderUnusable, "malformed registration_endpoint")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := b.reach(s, req.URL).Do(req)
	if err != nil {
		return nil, problem(ProviderDown, transportError(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxProviderReply+1))
	if err != nil {
		return nil, problem(ProviderDown, transportError(err))
	}
	return &reply{status: resp.StatusCode, body: answer}, nil
}

// readRegistration reads the answer to a registration (RFC 7591 section 3.2).
// The provider may have changed what we asked for.
func readRegistration(a *reply, asked clientMetadata) (*registration, time.Time, error) {
	var m struct {
		ClientID     text            `json:"client_id"`
		Secret       string          `json:"client_secret"`
		SecretEnds   json.RawMessage `json:"client_secret_expires_at"`
		AuthMethod   string          `json:"token_endpoint_auth_method"`
		RedirectURIs textList        `json:"redirect_uris"`
		Error        string          `json:"error"`
	}
	err := strictjson.Unmarshal(a.body, maxProviderReply, &m)
	switch {
	case a.status >= http.StatusInternalServerError || a.status == http.StatusTooManyRequests:
		return nil, time.Time{}, problemf(ProviderDown, "registration: status %d", a.status)
	case a.status != http.StatusCreated && a.status != http.StatusOK:
		return nil, time.Time{}, problemf(NotRegistered, "registration refused: status %d %s; configure client_id", a.status, knownCode(m.Error))
	case err != nil:
		return nil, time.Time{}, problemf(ProviderUnusable, "registration: %w", err)
	case m.ClientID == "" && m.Error != "":
		return nil, time.Time{}, problemf(NotRegistered, "registration refused: %s; configure client_id", knownCode(m.Error))
	case m.ClientID == "" || len(m.ClientID) > maxClientIDLen || !visible(string(m.ClientID)) || !visible(m.Secret):
		return nil, time.Time{}, problemf(ProviderUnusable, "registration: no usable client")
	case m.RedirectURIs != nil && !slices.Contains(m.RedirectURIs, asked.RedirectURIs[0]):
		return nil, time.Time{}, problemf(NotRegistered, "registration: our redirect URI was not accepted; configure client_id")
	}
	r := &registration{
		client:      client{ID: string(m.ClientID), Secret: m.Secret, AuthMethod: m.AuthMethod},
		RedirectURI: asked.RedirectURIs[0],
	}
	if r.AuthMethod == "" {
		r.AuthMethod = asked.TokenEndpointAuthMethod
	}
	if m.Secret == "" && r.AuthMethod != authPrivateKeyJWT {
		r.AuthMethod = authNone
	}
	return r, moment(m.SecretEnds), nil
}
