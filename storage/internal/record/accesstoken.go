package record

import (
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AppendAccessToken appends an access token without its hash, which is its key.
func AppendAccessToken(b []byte, t storage.AccessToken) []byte {
	b = AppendTime(b, t.IssuedAt)
	b = AppendTime(b, t.ExpiresAt)
	b = binary.AppendUvarint(b, uint64(len(t.Scope)))
	b = binary.AppendUvarint(b, uint64(len(t.Audience)))
	for _, s := range [...]string{t.GrantID, t.Issuer, t.ClientID, t.Identity.Kind, t.Identity.Subject, t.Identity.Name, t.Identity.Proof} {
		b = appendString(b, s)
	}
	for _, s := range t.Scope {
		b = appendString(b, s)
	}
	for _, s := range t.Audience {
		b = appendString(b, s)
	}
	return appendMore(b, t.Identity, t.Chosen)
}

// AccessTokenEnd returns the ExpiresAt of an access token. A refresh asks
// it of all those of the grant.
func AccessTokenEnd(body []byte) (time.Time, error) {
	d := decoder{rest: string(body[:min(len(body), 2*timeSize)])}
	d.time() // IssuedAt
	end := d.time()
	return end, d.end()
}

// AccessToken reads what AppendAccessToken appended.
func AccessToken(body []byte) (storage.AccessToken, error) {
	var t storage.AccessToken
	d := decoder{rest: string(body)}
	t.IssuedAt = d.time()
	t.ExpiresAt = d.time()
	scopes, audiences := d.uvarint(), d.uvarint()
	for _, s := range [...]*string{&t.GrantID, &t.Issuer, &t.ClientID, &t.Identity.Kind, &t.Identity.Subject, &t.Identity.Name, &t.Identity.Proof} {
		*s = d.string()
	}
	t.Scope, t.Audience = d.lists(scopes, audiences)
	t.Chosen = d.more(&t.Identity)
	if err := d.end(); err != nil {
		return storage.AccessToken{}, err
	}
	return t, nil
}
