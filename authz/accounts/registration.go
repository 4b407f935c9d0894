package accounts

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const maxClientIDLen = 2 << 10

// registeredClient returns our registration at a provider, and registers us
// where there is none that the provider still knows. All who ask at the same
// time share one.
func (b *Broker) registeredClient(ctx context.Context, s *Server, p *provider, owner string) (*client, error) {
	v, err, _ := b.registering.Do(s.ID+" "+p.Issuer, func() (any, error) {
		ctx := context.WithoutCancel(ctx) // others wait for it too
		rs, err := b.registrations(ctx, s, p.Issuer)
		if err != nil {
			return nil, err
		}
		r := rs.current(b.redirectURI(s))
		if r == nil {
			return b.register(ctx, s, p, rs.ID, false)
		}
		state, err := b.judge(ctx, s, p, rs, owner)
		if err != nil {
			return nil, err
		}
		switch state {
		case forgotten:
			if err := b.forgetClient(ctx, s, p.Issuer, r.ID); err != nil {
				return nil, err
			}
			return b.register(ctx, s, p, "", false)
		case seemsForgotten:
			return b.replace(ctx, s, p, &r.client)
		}
		return &r.client, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*client), nil
}

// register registers us with a provider (RFC 7591 section 3), in place of the
// registration with this client ID, if any, which stays for the connections
// that were made with it. A doubted one only seems to be forgotten.
func (b *Broker) register(ctx context.Context, s *Server, p *provider, former string, doubted bool) (*client, error) {
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
	if expires.After(b.deps.Now()) {
		r.Ends = expires
	} // else 0, which means never: a secret that was just made has not ended yet
	kept := r.client
	err = b.changeRegistrations(ctx, s, p.Issuer, func(rs *registrations) bool {
		if current := rs.current(r.RedirectURI); current != nil && current.ID != former {
			kept = current.client // somebody else registered at the same time
			return false
		}
		rs.retire()
		rs.remove(r.ID) // some providers give the same one again, with another secret
		rs.registration = *r
		if doubted {
			rs.Unproven, rs.ReplacedAt, rs.Replaced = true, b.deps.Now(), rs.Replaced+1
		}
		return true
	})
	return &kept, err
}

// registrationAuthMethod asks to be a confidential client where the provider
// has a way for it: we can keep a secret.
func registrationAuthMethod(q Quirks, supported []string) string {
	if q.AuthMethod != "" {
		return q.AuthMethod
	}
	for _, method := range []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone} {
		if slices.Contains(supported, method) {
			return method
		}
	}
	return oauth.AuthSecretBasic
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
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxProviderReply+1))
	if err != nil {
		return nil, unreachable(err)
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
		RedirectURIs oauth.Strings   `json:"redirect_uris"`
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
	if m.Secret == "" && r.AuthMethod != oauth.AuthPrivateKeyJWT {
		r.AuthMethod = oauth.AuthNone
	}
	return r, moment(m.SecretEnds), nil
}
