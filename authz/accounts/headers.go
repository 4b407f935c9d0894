package accounts

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const maxKeyLen = 8 << 10

// ConnectHeaders stores the keys that a person pasted, by header name, after
// the server has taken them. keepUntil and p are as KeepUntil and Authentication in Trip.
func (b *Broker) ConnectHeaders(ctx context.Context, owner, server string, values map[string]string, keepUntil time.Time, p storage.Authentication) error {
	s := b.servers[server]
	if s == nil || s.Mode != PerUserHeaders || owner == "" {
		return problem(UnknownServer, nil)
	}
	credentials, err := s.pastedHeaders(values)
	if err != nil {
		return err
	}
	k := b.key(owner, s)
	// Verifying takes a while, in which the person may disconnect: read before.
	current, err := b.find(ctx, k)
	if err != nil {
		return err
	}
	before, err := b.snapshot(ctx, k, current, s, p)
	if err != nil {
		return err
	}
	if err := b.verifyHeaders(ctx, s, credentials); err != nil {
		return err
	}
	c := storage.Connection{ConnectionKey: k, ExpiresAt: keepUntil}
	return b.save(ctx, c, p, before, secrets{
		Headers: credentials, IssuedAt: b.deps.Now(), Link: link{Origin: s.origin()},
	})
}

// pastedHeaders returns the headers to send. White space around a key comes
// from pasting, and a prefix may have been copied along.
func (s *Server) pastedHeaders(values map[string]string) ([]CredentialHeader, error) {
	var credentials []CredentialHeader
	for _, h := range s.Headers {
		value := strings.TrimSpace(values[h.Name])
		if prefix := strings.TrimSpace(h.Prefix); prefix != "" {
			value = strings.TrimSpace(strings.TrimPrefix(value, prefix))
		}
		if value == "" || len(value) > maxKeyLen || !httpguts.ValidHeaderFieldValue(value) {
			return nil, problemf(WrongKey, "the value for %s cannot be a key", h.Name)
		}
		credentials = append(credentials, CredentialHeader{Name: http.CanonicalHeaderKey(h.Name), Value: h.Prefix + value})
	}
	return credentials, nil
}

// verifyHeaders tries the keys on the server: a typing mistake is told now,
// not at the first call.
func (b *Broker) verifyHeaders(ctx context.Context, s *Server, credentials []CredentialHeader) error {
	a, err := b.verify(ctx, s, credentials)
	switch {
	case err != nil:
		return asProblem(client.Unreachable(err))
	case a.Result:
		return nil
	case a.Refused():
		return problemf(WrongKey, "status %d", a.Status)
	}
	if a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests || a.Status == http.StatusRequestTimeout {
		return problemf(ProviderDown, "the server answered neither yes nor no: status %d", a.Status)
	}
	return problemf(Unsupported, "the server answered neither yes nor no: status %d; check its URL, or set verify_url", a.Status)
}

// verify asks the server about credentials, with a request of our own that
// changes nothing there.
func (b *Broker) verify(ctx context.Context, s *Server, credentials []CredentialHeader) (*client.ProbeAnswer, error) {
	if s.VerifyURL != "" {
		return b.oauthClient(s).ProbeURL(ctx, s.VerifyURL, headerOf(credentials))
	}
	return b.oauthClient(s).Probe(ctx, s.URL, headerOf(credentials))
}
