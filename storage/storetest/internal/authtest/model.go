package authtest

import (
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// model is the contract once more, as plainly as it can be said: lists that
// are searched, and nothing is ever removed or indexed.
type model struct {
	flows   map[string]*storage.Flow
	clients map[string]*storage.Client
	grants  map[string]*modelGrant
	codes   map[string]*storage.Code
	refresh map[string]*modelRefresh
	access  map[string]*modelAccess
	browser map[string]time.Time // when each browser session ends
}

type modelGrant struct {
	clientID         string
	expires, absolut time.Time
	revoked          bool
	head             string // the refresh token nobody used yet
	tokens           []string
}

type modelRefresh struct {
	grant, successor string
	expires, rotated time.Time
	grace            time.Duration // as the winner of the rotation asked
	replay           string
	// predecessor is forgotten when this one is used: it proved its grant.
	predecessor string
	forgotten   bool
}

type modelAccess struct {
	grant   string
	expires time.Time
	gone    bool
}

func newModel() *model {
	return &model{
		flows: map[string]*storage.Flow{}, clients: map[string]*storage.Client{},
		grants: map[string]*modelGrant{}, codes: map[string]*storage.Code{},
		refresh: map[string]*modelRefresh{}, access: map[string]*modelAccess{}, browser: map[string]time.Time{},
	}
}

// gone stands for Expired and Unknown: which of them it is depends on the
// sweep, and nobody may rely on it.
const gone = storage.Expired

func (m *model) saveFlow(id string, who storage.Identity, expires, now time.Time) storage.Verdict {
	if f := m.flows[id]; f != nil && f.ExpiresAt.After(now) && f.Submitted {
		return storage.Submitted
	}
	m.flows[id] = &storage.Flow{Identity: who, ExpiresAt: expires}
	return storage.OK
}

func (m *model) submit(id string, sub storage.Submission, code, browser, before string) storage.Verdict {
	f := m.flows[id]
	switch {
	case f == nil || !f.ExpiresAt.After(sub.Now):
		return gone
	case f.Submitted:
		return storage.Submitted
	case !f.Identity.Same(sub.Identity):
		return storage.Changed
	}
	f.Submitted = true
	if sub.Grant == nil {
		return storage.OK
	}
	m.grants[sub.Grant.ID] = &modelGrant{
		clientID: sub.Grant.ClientID, expires: sub.Grant.ExpiresAt, absolut: sub.Grant.AbsoluteExpiresAt,
	}
	c := *sub.Code
	m.codes[code] = &c
	if sub.Browser != nil {
		m.browser[before] = time.Time{} // ended
		m.browser[browser] = sub.Browser.ExpiresAt
	}
	if c := m.clients[sub.Grant.ClientID]; c != nil && c.ExpiresAt.After(sub.Now) {
		c.Used = c.Used || sub.Quota == nil
		if end := sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient); end.After(c.ExpiresAt) {
			c.ExpiresAt = end
		}
	}
	return storage.OK
}

func (m *model) claim(code string, c storage.CodeClaim, access, refresh string) storage.Verdict {
	known := m.codes[code]
	switch {
	case known == nil:
		return gone
	case c.ClientID != known.ClientID:
		return storage.WrongClient
	case known.ProofFailed || known.Claimed && c.Challenge != known.Challenge:
		return storage.ProofFailed
	case known.Claimed:
		if !m.codeEnded(code, c.Now) {
			m.revoke(known.GrantID)
		}
		return storage.Replayed
	case !known.ExpiresAt.After(c.Now):
		return gone
	case c.Challenge != known.Challenge:
		known.ProofFailed = true
		return storage.ProofFailed
	}
	if v := m.grantVerdict(known.GrantID, c.Now); v != storage.OK {
		return v
	}
	known.Claimed = true
	m.issue(known.GrantID, c.Issue, access, refresh, c.Now)
	return storage.OK
}

// codeEnded: a code is kept until its end or, once claimed, its grant's.
func (m *model) codeEnded(code string, now time.Time) bool {
	c := m.codes[code]
	if c == nil {
		return true
	}
	if c.Claimed {
		return !m.grants[c.GrantID].absolut.After(now)
	}
	return !c.ExpiresAt.After(now)
}

func (m *model) refreshEnded(token string, now time.Time) bool {
	t := m.refresh[token]
	return t == nil || !t.expires.After(now) || !m.grants[t.grant].expires.After(now)
}

func (m *model) rotate(token string, r storage.Rotation, access, refresh string) storage.Verdict {
	t := m.refresh[token]
	if t == nil {
		return gone
	}
	if t.forgotten && r.GrantID == "" {
		return gone
	}
	g := m.grants[t.grant]
	if r.ClientID != g.clientID {
		return storage.WrongClient
	}
	if v := m.grantVerdict(t.grant, r.Now); v != storage.OK {
		return v
	}
	if t.forgotten || r.GrantID != "" && !t.rotated.IsZero() && !t.expires.After(r.Now) {
		m.revoke(t.grant)
		return storage.Replayed
	}
	if !t.expires.After(r.Now) {
		return gone
	}
	if !t.rotated.IsZero() {
		age := r.Now.Sub(t.rotated)
		if r.Grace > 0 && age <= r.Grace && t.grace > 0 && age <= t.grace && g.head == t.successor {
			return storage.Repeated
		}
		m.revoke(t.grant)
		return storage.Replayed
	}
	t.rotated, t.successor, t.grace, t.replay = r.Now, refresh, r.Grace, string(r.Replay)
	if before := m.refresh[t.predecessor]; before != nil {
		before.forgotten = true
	}
	m.issue(t.grant, r.Issue, access, refresh, r.Now)
	if r.GrantID != "" {
		m.refresh[refresh].predecessor = token
	}
	return storage.OK
}

func (m *model) grantVerdict(grant string, now time.Time) storage.Verdict {
	g := m.grants[grant]
	switch {
	case g.revoked:
		return storage.Revoked
	case !g.expires.After(now):
		return gone
	}
	return storage.OK
}

func (m *model) issue(grant string, i storage.Issue, access, refresh string, now time.Time) {
	g := m.grants[grant]
	m.access[access] = &modelAccess{grant: grant, expires: i.Access.ExpiresAt}
	g.tokens = append(slices.DeleteFunc(g.tokens, func(a string) bool { return !m.accessLives(a, now) }), access)
	if len(g.tokens) > storage.MaxAccessTokens {
		m.access[g.tokens[0]].gone = true
	}
	m.refresh[refresh] = &modelRefresh{grant: grant, expires: i.Refresh.ExpiresAt}
	g.head = refresh
	g.expires = i.GrantExpiresAt
	if g.expires.After(g.absolut) {
		g.expires = g.absolut
	}
}

func (m *model) accessLives(a string, now time.Time) bool {
	t := m.access[a]
	return !t.gone && t.expires.After(now)
}

func (m *model) revoke(grant string) {
	m.grants[grant].revoked = true
	for _, t := range m.access {
		if t.grant == grant {
			t.gone = true
		}
	}
}

func (m *model) deleteClient(id string) {
	delete(m.clients, id)
	for grant, g := range m.grants {
		if g.clientID == id {
			m.revoke(grant)
		}
	}
}
