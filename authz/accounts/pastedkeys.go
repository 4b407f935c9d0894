package accounts

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const maxKeyLen = 8 << 10

// ConnectHeaders stores the keys that a person pasted, by header name, after
// the server has taken them.
func (cn *connector) ConnectHeaders(ctx context.Context, r ConnectRequest, values map[string]string) error {
	s, p := cn.server(r.Server), r.Authentication
	if s == nil || s.Auth.Mode != config.PerUserHeaders || r.Owner == "" {
		return &client.Error{Problem: UnknownServer}
	}
	credentials, err := pastedHeaders(s, values)
	if err != nil {
		return err
	}
	k := cn.keyOf(r.Owner, r.Server)
	// Verifying takes a while, in which the person may disconnect: read before.
	current, err := cn.find(ctx, k)
	if err != nil {
		return err
	}
	if err := cn.checkRoom(ctx, s, k, p); err != nil {
		return err
	}
	before, err := cn.connections.snapshot(ctx, k, current, p)
	if err != nil {
		return err
	}
	if r.SingleUse != (storage.Hash{}) {
		before.Disconnect = r.LastDisconnect
	}
	if err := cn.connections.checkUnused(ctx, r.SingleUse); err != nil {
		return err
	}
	if err := cn.verifyHeaders(ctx, s, credentials); err != nil {
		return err
	}
	c := storage.ConnectionReplacement{Connection: storage.Connection{ConnectionKey: k, ExpiresAt: r.KeepUntil}, UsesUp: usesUp(r.SingleUse, cn.deps.Now())}
	return cn.connections.save(ctx, c, p, before, secrets{
		Headers: credentials, IssuedAt: cn.deps.Now(), Binding: binding{Origin: originOf(s)},
	})
}

// pastedHeaders returns the headers to send. White space around a key comes
// from pasting, and a prefix may have been copied along.
func pastedHeaders(s *config.Server, values map[string]string) ([]CredentialHeader, error) {
	var credentials []CredentialHeader
	for _, h := range s.Auth.Headers {
		value := strings.TrimSpace(values[h.Name])
		if prefix := strings.TrimSpace(h.Prefix); prefix != "" {
			value = strings.TrimSpace(strings.TrimPrefix(value, prefix))
		}
		if value == "" || len(value) > maxKeyLen || !httpguts.ValidHeaderFieldValue(value) {
			return nil, client.Errorf(WrongKey, "the value for %s cannot be a key", h.Name)
		}
		credentials = append(credentials, CredentialHeader{Name: http.CanonicalHeaderKey(h.Name), Value: h.Prefix + value})
	}
	return credentials, nil
}

// verifyHeaders tries the keys on the server: a typing mistake is told now,
// not at the first call.
func (cn *connector) verifyHeaders(ctx context.Context, s *config.Server, credentials []CredentialHeader) error {
	a, err := cn.verify(ctx, s, credentials)
	switch {
	case err != nil:
		return client.Unreachable(err)
	case a.Result:
		return nil
	case a.Refused():
		return client.Errorf(WrongKey, "status %d", a.Status)
	}
	if a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests || a.Status == http.StatusRequestTimeout {
		return client.Errorf(client.ProviderDown, "the server answered neither yes nor no: status %d", a.Status)
	}
	return client.Errorf(client.Unsupported, "the server answered neither yes nor no: status %d; check its URL, or set verify_url", a.Status)
}
