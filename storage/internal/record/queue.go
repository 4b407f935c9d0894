package record

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ClientQueue returns where a client waits that is not Used, and since when: one that
// nobody approved in the queue of whoever registered it, one that only identities
// without proof approved in that of its quota. Records of an earlier version know no
// sender and no block.
func ClientQueue(c storage.Client) (sender, group []byte, at time.Time) {
	if at = c.CreatedAt; c.ApprovedAt.After(at) {
		at = c.ApprovedAt
	}
	switch {
	case c.Quota != nil:
		sender = Digest(c.Issuer, string(c.Quota[:]))
		if c.QuotaBlock != nil {
			group = Digest("clients of a block", c.Issuer, string(c.QuotaBlock[:]))
		}
	case c.Sender != nil:
		sender, group = Digest("unused of a sender", c.Issuer, string(c.Sender[:])), Digest("unused", c.Issuer)
	default:
		sender = Digest(c.Issuer)
	}
	return sender, group, at
}
