package upstream

import (
	"context"
	"errors"
	"net/url"
)

// A provider that forgot a registration says so to the browser, on a page from
// which nobody comes back. So we ask it ourselves, at its token endpoint, but
// only when the last person whom we sent there did not return: a provider that
// works is never asked.

// leftFor notes that a person leaves for a provider as this client.
func (b *Broker) leftFor(server, clientID string) { b.returned.Delete(server + " " + clientID) }

// cameBack notes that the provider knows the client.
func (b *Broker) cameBack(server, clientID string) { b.returned.Store(server+" "+clientID, struct{}{}) }

// stillRegistered reports whether the provider knows the client, as far as
// can be told: only a clear no is one.
func (b *Broker) stillRegistered(ctx context.Context, s *Server, p *provider, r *registration) bool {
	if _, returned := b.returned.Load(s.ID + " " + r.ID); returned {
		return true
	}
	// A code that nobody issued. A provider that knows the client answers
	// invalid_grant (RFC 6749 section 5.2).
	_, err := b.requestToken(ctx, s, newLink(s, p, &r.client, nil), &r.client, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {newSecret()},
		"code_verifier": {newSecret()},
		"redirect_uri":  {r.RedirectURI},
	})
	var refusal *tokenError
	return !errors.As(err, &refusal) || refusal.Code != "invalid_client"
}
