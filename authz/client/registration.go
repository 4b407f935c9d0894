package client

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

// Registration is a client that a provider registered (RFC 7591).
type Registration struct {
	Credentials
	RedirectURI string
	// SecretEnds is when the provider takes the secret no more; zero for never.
	SecretEnds time.Time
}

// Register registers us with a provider (RFC 7591 section 3).
func (c *Client) Register(ctx context.Context, p *Provider) (*Registration, error) {
	asked := c.Profile.metadata("", c.Profile.registrationAuthMethod(p.AuthMethods))
	r, err := c.postRegistration(ctx, p.RegistrationEndpoint, mustMarshal(asked))
	if err != nil {
		return nil, err
	}
	registered, err := readRegistration(r, asked)
	if err == nil && !registered.SecretEnds.After(c.Now()) {
		registered.SecretEnds = time.Time{} // 0 means never: a secret that was just made has not ended yet
	}
	return registered, err
}

// registrationAuthMethod asks to be a confidential client where the provider
// has a way for it: we can keep a secret.
func (p Profile) registrationAuthMethod(supported []string) string {
	if p.AuthMethod != "" {
		return p.AuthMethod
	}
	for _, method := range []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone} {
		if slices.Contains(supported, method) {
			return method
		}
	}
	return oauth.AuthSecretBasic
}

func (c *Client) postRegistration(ctx context.Context, endpoint string, body []byte) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, Errorf(ProviderUnusable, "malformed registration_endpoint")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.reach(req.URL).Do(req)
	if err != nil {
		return nil, Unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxProviderReply+1))
	if err != nil {
		return nil, Unreachable(err)
	}
	return &reply{status: resp.StatusCode, body: answer}, nil
}

// readRegistration reads the answer to a registration (RFC 7591 section 3.2).
// The provider may have changed what we asked for.
func readRegistration(a *reply, asked clientMetadata) (*Registration, error) {
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
		return nil, Errorf(ProviderDown, "registration: status %d", a.status)
	case a.status != http.StatusCreated && a.status != http.StatusOK:
		return nil, Errorf(NotRegistered, "registration refused: status %d %s; configure client_id", a.status, KnownCode(m.Error))
	case err != nil:
		return nil, Errorf(ProviderUnusable, "registration: %w", err)
	case m.ClientID == "" && m.Error != "":
		return nil, Errorf(NotRegistered, "registration refused: %s; configure client_id", KnownCode(m.Error))
	case m.ClientID == "" || len(m.ClientID) > maxClientIDLen || !visible(string(m.ClientID)) || !visible(m.Secret):
		return nil, Errorf(ProviderUnusable, "registration: no usable client")
	case m.RedirectURIs != nil && !slices.Contains(m.RedirectURIs, asked.RedirectURIs[0]):
		return nil, Errorf(NotRegistered, "registration: our redirect URI was not accepted; configure client_id")
	}
	r := &Registration{
		Credentials: Credentials{ID: string(m.ClientID), Secret: m.Secret, AuthMethod: m.AuthMethod},
		RedirectURI: asked.RedirectURIs[0],
		SecretEnds:  moment(m.SecretEnds),
	}
	if r.AuthMethod == "" {
		r.AuthMethod = asked.TokenEndpointAuthMethod
	}
	if m.Secret == "" && r.AuthMethod != oauth.AuthPrivateKeyJWT {
		r.AuthMethod = oauth.AuthNone
	}
	return r, nil
}
