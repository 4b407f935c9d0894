package accounts

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

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
	k, err := b.verify(ctx, s, credentials)
	switch {
	case err != nil:
		return unreachable(err)
	case k.result:
		return nil
	case k.refused():
		return problemf(WrongKey, "status %d", k.status)
	}
	if k.status >= http.StatusInternalServerError || k.status == http.StatusTooManyRequests || k.status == http.StatusRequestTimeout {
		return problemf(ProviderDown, "the server answered neither yes nor no: status %d", k.status)
	}
	return problemf(Unsupported, "the server answered neither yes nor no: status %d; check its URL, or set verify_url", k.status)
}

// verify asks the server about credentials, with a request of our own that
// changes nothing there.
func (b *Broker) verify(ctx context.Context, s *Server, credentials []CredentialHeader) (*knocked, error) {
	if s.VerifyURL != "" {
		return b.verifyByURL(ctx, s, credentials)
	}
	return b.verifyByCall(ctx, s, credentials)
}

// verifyByCall asks the server who it is. Some refuse what they do not know as
// if it were about the credentials: a refusal counts if the server says the same
// to every question that it takes for one.
func (b *Broker) verifyByCall(ctx context.Context, s *Server, credentials []CredentialHeader) (*knocked, error) {
	var last, refusal *knocked
	err := b.askInTurn(ctx, s, credentials, func(k *knocked) (enough bool) {
		last = k
		if k.refused() {
			refusal = k
		}
		return k.result
	})
	if err != nil {
		return nil, err
	}
	if last.result || last.unable() || refusal == nil {
		return last, nil
	}
	return refusal, nil
}

// verifyByURL asks the URL that the operator named for it.
func (b *Broker) verifyByURL(ctx context.Context, s *Server, credentials []CredentialHeader) (*knocked, error) {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	resp, err := b.sendToServer(ctx, http.MethodGet, s, s.VerifyURL, nil, http.Header{}, credentials)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return &knocked{status: resp.StatusCode, header: resp.Header, result: resp.StatusCode/100 == 2}, nil
}
