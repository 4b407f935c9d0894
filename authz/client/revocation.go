package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// RevocationOutcome is what came of asking a provider to revoke a token.
type RevocationOutcome int

// The outcomes.
const (
	// RevocationDone: the token is revoked, or asking again is of no use.
	RevocationDone RevocationOutcome = iota
	// RevocationLater: ask again later.
	RevocationLater
	// RevocationUnanswered: ask again later; the provider does not answer at all.
	RevocationUnanswered
)

// RevokeToken revokes one token (RFC 7009 section 2.1). A provider that refuses
// it is asked once more without the hint, which some do not know. The error is
// for the log: the provider refused.
func (c *Client) RevokeToken(ctx context.Context, at Endpoint, as Credentials, hint, token string) (RevocationOutcome, error) {
	for _, form := range []url.Values{{"token": {token}, "token_type_hint": {hint}}, {"token": {token}}} {
		r, err := c.post(ctx, at, as, form)
		switch {
		case err != nil:
			return RevocationUnanswered, nil
		case r.status >= http.StatusInternalServerError || r.status == http.StatusTooManyRequests:
			return RevocationLater, nil
		case r.status != http.StatusBadRequest:
			return RevocationDone, refusedToRevoke(r.status)
		}
	}
	return RevocationDone, refusedToRevoke(http.StatusBadRequest)
}

// refusedToRevoke returns an error for the log unless the provider did what
// it was asked. Unknown tokens are answered with 200, too (section 2.2).
func refusedToRevoke(status int) error {
	if status < http.StatusBadRequest {
		return nil
	}
	return fmt.Errorf("it refused, status %d", status)
}
