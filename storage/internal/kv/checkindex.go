package kv

import (
	"bytes"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

func hashOf(e entry) (h storage.Hash, ok bool) {
	if len(e.key) != 1+len(h) {
		return h, false
	}
	return storage.Hash(e.key[1:]), true
}

func checkAccess(c *checker, e entry) string {
	h, ok := hashOf(e)
	t, err := record.AccessToken(e.body)
	if err != nil || !ok {
		return unreadable
	}
	if e.over {
		return ""
	}
	g, found, err := getGrant(c, t.GrantID)
	switch {
	case err != nil:
		return "" // that is the grant's fault
	case !found:
		return "has no grant"
	case !g.RevokedAt.IsZero() && !t.ExpiresAt.After(g.RevokedAt):
		return "" // it had ended before, and stays until it is swept
	case !g.RevokedAt.IsZero():
		return "belongs to a grant that was revoked"
	case !slices.Contains(g.AccessTokens, h):
		return "is not known to its grant"
	}
	return ""
}

func checkGrant(c *checker, e entry) string {
	g, err := record.Grant(e.body)
	if err != nil {
		return unreadable
	}
	if g.ID != string(e.key[1:]) {
		return misplaced
	}
	c.NewestUse = latest(c.NewestUse, g.LastUsedAt)
	if e.over || grantVerdict(g, true, c.Now) != storage.OK {
		return ""
	}
	if fault := c.missing(e, grantIndexKeys(g)...); fault != "" {
		return fault
	}
	if g.RefreshToken != nil && !c.there(hashKey(kindRefresh, *g.RefreshToken)) {
		return "has lost its refresh token"
	}
	return ""
}

// checkGrantIndex looks at an entry that leads to a grant, which may have ended
// before the entry does.
func checkGrantIndex(c *checker, e entry) string {
	if len(e.key) < 1+record.DigestSize {
		return unreadable
	}
	g, found, err := getGrant(c, string(e.key[1+record.DigestSize:]))
	switch {
	case err != nil || !found:
		return ""
	case !g.RevokedAt.IsZero():
		return "leads to a grant that was revoked"
	case !slices.ContainsFunc(grantIndexKeys(g), func(key []byte) bool { return bytes.Equal(key, e.key) }):
		return "leads to another's grant"
	case e.key[0] == kindSubjectGrant && len(e.body) > 0 && !bytes.Equal(e.body, grantHint(g)):
		return "tells another time or client than its grant"
	}
	return ""
}

// checkRefresh looks at a refresh token, or at what is kept to repeat its outcome.
func checkRefresh(c *checker, e entry) string {
	if len(e.key) == 1+len(storage.Hash{})+1 && e.key[len(e.key)-1] == replaySuffix {
		if !e.over && !c.there(e.key[:len(e.key)-1]) {
			return "is not there, and what repeats its outcome is"
		}
		return ""
	}
	if _, err := record.RefreshToken(e.body); err != nil || len(e.key) != 1+len(storage.Hash{}) {
		return unreadable
	}
	return ""
}

func checkSession(c *checker, e entry) string {
	var b storage.BrowserSession
	h, ok := hashOf(e)
	if fault := readJSON(e, &b, nil); fault != "" || !ok {
		return unreadable
	}
	b.Hash = h
	return c.missing(e, subjectSessionKey(b))
}

func checkSessionIndex(c *checker, e entry) string {
	if len(e.key) != 1+record.DigestSize+len(storage.Hash{}) {
		return unreadable
	}
	if !e.over && !c.there(append([]byte{kindBrowserSession}, e.key[1+record.DigestSize:]...)) {
		return "leads to nothing"
	}
	return ""
}

func checkClient(c *checker, e entry) string {
	var client storage.Client
	if fault := readJSON(e, &client, func() []byte { return idKey(kindClient, client.ID) }); fault != "" {
		return fault
	}
	if client.Used {
		return ""
	}
	return c.missing(e, queueKey(clientPlace(client)))
}

func checkFlow(c *checker, e entry) string {
	var f storage.Flow
	if fault := readJSON(e, &f, func() []byte { return idKey(kindFlow, f.ID) }); fault != "" {
		return fault
	}
	return c.missing(e, subjectFlowKey(f), browserFlowKey(f))
}

func checkConnection(c *checker, e entry) string {
	var o storage.Connection
	if fault := readJSON(e, &o, func() []byte { return connectionKey(o.ConnectionKey) }); fault != "" {
		return fault
	}
	if fault := c.missing(e, handleKey(o.Issuer, o.ID)); fault != "" {
		return fault
	}
	return c.sealed(&o)
}

func checkHandle(c *checker, e entry) string {
	if e.over {
		return ""
	}
	o, found, err := getConnection(c, e.body)
	if err == nil && (!found || !bytes.Equal(handleKey(o.Issuer, o.ID), e.key)) {
		return "leads to no connection"
	}
	return ""
}

func checkRevocation(c *checker, e entry) string {
	var r storage.ProviderRevocation
	if fault := readJSON(e, &r, func() []byte { return idKey(kindRevocation, r.ID) }); fault != "" {
		return fault
	}
	if fault := c.missing(e, dueRevocationKey(r)); fault != "" {
		return fault
	}
	return c.sealed(&r)
}

func checkDueRevocation(c *checker, e entry) string {
	if len(e.key) < 1+record.DigestSize+8 {
		return unreadable
	}
	if e.over {
		return ""
	}
	r, found, err := getRevocation(c, revocationID(e.key, e.key[:1+record.DigestSize]))
	if err == nil && (!found || !bytes.Equal(dueRevocationKey(r), e.key)) {
		return "leads to no revocation"
	}
	return ""
}

func checkConnectState(c *checker, e entry) string {
	var s storage.ConnectState
	h, ok := hashOf(e)
	if fault := readJSON(e, &s, nil); fault != "" || !ok {
		return unreadable
	}
	s.Hash = h
	if fault := c.missing(e, pendingStateKey(s)); fault != "" {
		return fault
	}
	return c.sealed(&s)
}

func checkPendingState(c *checker, e entry) string {
	hash := len(e.key) - len(storage.Hash{})
	if hash < 1+2*record.DigestSize {
		return unreadable
	}
	if !e.over && !c.there(append([]byte{kindConnectState}, e.key[hash:]...)) {
		return "leads to nothing"
	}
	return ""
}

func checkPerson(c *checker, e entry) string {
	var p storage.Person
	if fault := readJSON(e, &p, func() []byte { return personKey(p.Issuer, p.Subject) }); fault != "" {
		return fault
	}
	if !p.DueAt.IsZero() {
		if fault := c.missing(e, duePersonKey(p)); fault != "" {
			return fault
		}
	}
	return c.sealed(&p)
}

func checkDuePerson(c *checker, e entry) string {
	if len(e.key) != 1+record.DigestSize+8+record.DigestSize {
		return unreadable
	}
	if e.over {
		return ""
	}
	issuer, subject := e.key[1:1+record.DigestSize], e.key[1+record.DigestSize+8:]
	var p storage.Person
	found, err := getJSON(c, append(append([]byte{kindPerson}, issuer...), subject...), &p)
	if err == nil && (!found || !bytes.Equal(duePersonKey(p), e.key)) {
		return "leads to no person"
	}
	return ""
}
