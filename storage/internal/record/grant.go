package record

import (
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// AppendGrant appends a grant.
func AppendGrant(b []byte, g storage.Grant) []byte {
	for _, t := range [...]time.Time{g.CreatedAt, g.ExpiresAt, g.AbsoluteExpiresAt, g.LastUsedAt, g.RevokedAt} {
		b = AppendTime(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Scope)))
	b = binary.AppendUvarint(b, uint64(len(g.Resources)))
	b = appendBool(b, g.ResourcesRequested)
	b = appendHashes(b, g.AccessTokens...)
	b = appendHash(b, g.RefreshToken)
	for _, s := range [...]string{
		g.ID, g.Issuer, g.ClientID, g.Identity.Kind, g.Identity.Subject, g.Identity.Name, g.Identity.Proof, g.RedirectURI, g.ClientName,
	} {
		b = appendString(b, s)
	}
	for _, s := range g.Scope {
		b = appendString(b, s)
	}
	for _, s := range g.Resources {
		b = appendString(b, s)
	}
	return appendMore(b, g.Identity, g.Chosen)
}

// Grant reads what AppendGrant appended.
func Grant(body []byte) (storage.Grant, error) {
	var g storage.Grant
	d := decoder{rest: string(body)}
	for _, t := range [...]*time.Time{&g.CreatedAt, &g.ExpiresAt, &g.AbsoluteExpiresAt, &g.LastUsedAt, &g.RevokedAt} {
		*t = d.time()
	}
	scopes, resources := d.uvarint(), d.uvarint()
	g.ResourcesRequested = d.bool()
	g.AccessTokens = d.hashes()
	g.RefreshToken = d.hash()
	for _, s := range [...]*string{
		&g.ID, &g.Issuer, &g.ClientID, &g.Identity.Kind, &g.Identity.Subject, &g.Identity.Name, &g.Identity.Proof, &g.RedirectURI, &g.ClientName,
	} {
		*s = d.string()
	}
	g.Scope, g.Resources = d.lists(scopes, resources)
	g.Chosen = d.more(&g.Identity)
	if err := d.end(); err != nil {
		return storage.Grant{}, err
	}
	return g, nil
}
