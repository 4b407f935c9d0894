package record

import "github.com/mcpoauth/caddy-mcp-oauth/storage"

// AppendRefreshToken appends a refresh token without its hash, which is its key.
func AppendRefreshToken(b []byte, t storage.RefreshToken) []byte {
	b = AppendTime(b, t.ExpiresAt)
	b = AppendTime(b, t.RotatedAt)
	b = appendHash(b, t.Successor)
	for _, s := range [...]string{t.GrantID, t.Issuer, t.ClientID} {
		b = appendString(b, s)
	}
	b = appendHash(b, t.Predecessor)
	return appendBool(b, t.Authenticated)
}

// RefreshToken reads what AppendRefreshToken appended.
func RefreshToken(body []byte) (storage.RefreshToken, error) {
	var t storage.RefreshToken
	d := decoder{rest: string(body)}
	t.ExpiresAt = d.time()
	t.RotatedAt = d.time()
	t.Successor = d.hash()
	for _, s := range [...]*string{&t.GrantID, &t.Issuer, &t.ClientID} {
		*s = d.string()
	}
	if d.rest != "" { // else written before there were these
		t.Predecessor = d.hash()
		t.Authenticated = d.bool()
	}
	if err := d.end(); err != nil {
		return storage.RefreshToken{}, err
	}
	return t, nil
}
