package caddymodule

import (
	"encoding/hex"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// minSecretLength keeps out what people make up: secrets are stored under a
// fast hash, so they must not be guessable.
const minSecretLength = 16

// makeOne tells how to get a secret that nobody guesses.
const makeOne = "make a random one with `openssl rand -base64 32`"

// hashSecret returns the hash of a configured secret, given by a placeholder
// or as sha256:<hex>. It returns nil for a secret that is not known yet. A
// configuration can be read in many places, so a secret itself is refused; no
// error repeats any of it.
func hashSecret(path, what, value string, resolve resolver) (*storage.Hash, error) {
	if !strings.Contains(value, "{") && !strings.HasPrefix(value, "sha256:") {
		return nil, wrong(path, "the %s must not be in the configuration; write sha256:<hash>, or a placeholder such as {env.NAME} ({$NAME} puts the secret itself there)", what)
	}
	text, known, err := resolve(value)
	if err != nil {
		return nil, wrong(path, "%v", err)
	}
	if !known {
		return nil, nil
	}
	if digits, ok := strings.CutPrefix(text, "sha256:"); ok {
		var h storage.Hash
		if n, err := hex.Decode(h[:], []byte(digits[:min(len(digits), 2*len(h))])); err != nil || n != len(h) || len(digits) != 2*len(h) {
			return nil, wrong(path, "after sha256: the %s needs 64 hexadecimal digits", what)
		}
		if h == storage.HashOf("") || h == storage.HashOf("\n") { // of a variable that was not set
			return nil, wrong(path, "the %s is the hash of an empty text; %s and write down its hash", what, makeOne)
		}
		return &h, nil
	}
	if len(text) < minSecretLength {
		return nil, wrong(path, "the %s is too short; use at least %d random characters", what, minSecretLength)
	}
	if easyToGuess(text) {
		return nil, wrong(path, "the %s is easy to guess; %s", what, makeOne)
	}
	h := storage.HashOf(text)
	return &h, nil
}

func (h *Handler) convertClients(cfg *authz.Config, resolve resolver) error {
	ids := map[string]bool{}
	for i, c := range h.Clients {
		path := index("clients", i)
		if !clientIDPattern.MatchString(c.ID) {
			return wrong(path+".id", "%q is not a client id; use printable ASCII without spaces", c.ID)
		}
		if ids[c.ID] {
			return wrong(path+".id", "the id is used twice; give each client its own")
		}
		ids[c.ID] = true
		client, err := convertClient(path, c, cfg.Registration.RedirectSchemes, resolve)
		if err != nil {
			return err
		}
		cfg.Clients = append(cfg.Clients, client)
	}
	return nil
}

// clientIDPattern is VSCHAR (RFC 6749 appendix A.1) without the space.
var clientIDPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

func convertClient(path string, c Client, schemes []string, resolve resolver) (authz.Client, error) {
	m := oauth.ClientMetadata{
		ClientName: c.Name, RedirectURIs: c.RedirectURIs, JWKSURI: c.JWKSURI, JWKS: c.JWKS,
		GrantTypes:    []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"},
	}
	if m.ClientName == "" {
		m.ClientName = c.ID
	}
	client := authz.Client{ID: c.ID, Origin: authz.Preregistered, Introspect: c.Introspect}
	if len(c.RedirectURIs) == 0 && !c.Introspect {
		return client, wrong(path+".redirect_uris", "it could not sign anybody in; add redirect_uri")
	}
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || !u.IsAbs() || u.Fragment != "" || strings.ContainsAny(uri, "*") {
			return client, wrong(path+".redirect_uris", "%q is not an absolute URI without fragment and wildcards; write it as https://app.example.com/callback", uri)
		}
	}
	ways := 0
	if c.Secret != "" {
		hash, err := hashSecret(path+".secret", "secret", c.Secret, resolve)
		if err != nil {
			return client, err
		}
		if hash == nil {
			hash = new(storage.Hash)
		}
		client.SecretHash, ways = hash, ways+1
	}
	if c.JWKSURI != "" {
		m.TokenEndpointAuthMethod, ways = oauth.AuthPrivateKeyJWT, ways+1
	}
	if len(c.JWKS) > 0 {
		m.TokenEndpointAuthMethod, ways = oauth.AuthPrivateKeyJWT, ways+1
	}
	switch {
	case ways > 1:
		return client, wrong(path+".secret", "more than one way to authenticate; keep one of secret, jwks, jwks_uri")
	case ways == 0 && c.Introspect:
		return client, wrong(path+".introspect", "introspect is for clients that authenticate; add a secret")
	}
	client.Metadata = m
	if err := client.Complete(schemes); err != nil {
		return client, refused(path, c, err)
	}
	return client, nil
}

// refused names the field that made a client unusable.
func refused(path string, c Client, err error) error {
	var e *oauth.Error
	switch {
	case errors.As(err, &e) && e.Code == "invalid_redirect_uri":
		path += ".redirect_uris"
	case len(c.JWKS) > 0:
		path += ".jwks"
	case c.JWKSURI != "":
		path += ".jwks_uri"
	}
	return wrong(path, "%s", strings.TrimSuffix(description(err), "."))
}

// description returns what an operator needs of a refusal.
func description(err error) string {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Description
	}
	return err.Error()
}
