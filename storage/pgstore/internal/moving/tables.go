package moving

import (
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// table is where the records of a kind are.
type table struct {
	name string
	// key are the columns that tell its rows apart, the first of columns. id tells that
	// they are the id of the record; else its body tells them.
	key     int
	id      bool
	columns []string // all but keep_until and the last one
	// body is the last column: the record, or a number.
	body string
	// values are those of columns. The times in the record are the database's, but for
	// place, which is of its queue.
	values func(m record.Moved, p place) []any
}

// place is where a client waits.
type place struct {
	sender, group []byte
	at            *int64
}

// tables has one for each of record.Kinds, but for places in queues.
var tables = map[string]table{
	"access_tokens": {key: 1, id: true, columns: []string{"hash", "person"}, values: func(m record.Moved, _ place) []any {
		t := m.Value.(*storage.AccessToken)
		return []any{m.ID, person(t.Issuer, t.Identity)}
	}},
	"refresh_tokens": {key: 1, id: true, columns: []string{"hash", "grant_id", "predecessor"}, values: func(m record.Moved, _ place) []any {
		t := m.Value.(*storage.RefreshToken)
		return []any{m.ID, []byte(t.GrantID), hash(t.Predecessor)}
	}},
	"replays":     {key: 1, id: true, columns: []string{"hash"}, values: onlyID},
	"used_values": {key: 1, id: true, columns: []string{"hash"}, values: onlyID},
	"codes": {key: 1, id: true, columns: []string{"hash", "grant_id"}, values: func(m record.Moved, _ place) []any {
		return []any{m.ID, []byte(m.Value.(*storage.Code).GrantID)}
	}},
	"grants": {key: 1, columns: []string{"id", "of_client", "of_subject", "person", "access_tokens", "refresh_token", "ends_at"}, values: ofGrant},
	"clients": {key: 1, columns: []string{"id", "queue_sender", "queue_group", "queued_at"}, values: func(m record.Moved, p place) []any {
		return []any{[]byte(m.Value.(*storage.Client).ID), p.sender, p.group, p.at}
	}},
	"flows": {key: 1, columns: []string{"id", "of_subject", "owner", "person", "browser"}, values: func(m record.Moved, _ place) []any {
		f := m.Value.(*storage.Flow)
		return []any{[]byte(f.ID), record.Digest(f.Issuer, f.Identity.Subject), record.Digest(f.Identity.Subject), person(f.Issuer, f.Identity), f.Browser[:]}
	}},
	"browser_sessions": {key: 1, id: true, columns: []string{"id", "of_subject", "owner", "person"}, values: func(m record.Moved, _ place) []any {
		b := m.Value.(*storage.BrowserSession)
		return []any{m.ID, record.Digest(b.Issuer, b.Identity.Subject), record.Digest(b.Identity.Subject), person(b.Issuer, b.Identity)}
	}},
	"site_values": {key: 1, columns: []string{"id"}, values: func(m record.Moved, _ place) []any {
		v := m.Value.(*storage.SiteValue)
		return []any{record.Digest(v.Issuer, v.Name)}
	}},
	"connections": {key: 3, columns: []string{"issuer", "owner", "server", "handle"}, values: func(m record.Moved, _ place) []any {
		c := m.Value.(*storage.Connection)
		return append(connectionKey(c.ConnectionKey), record.Digest(c.Issuer, c.ID))
	}},
	"connect_states": {key: 1, id: true, columns: []string{"hash", "issuer", "owner", "server", "browser", "flow", "client", "session"}, values: func(m record.Moved, _ place) []any {
		c := m.Value.(*storage.ConnectState)
		return append(append([]any{m.ID}, connectionKey(c.ConnectionKey)...), c.Browser[:], record.FlowOf(*c), record.IDOrNone(c.Client), record.HashOrNone(c.Session))
	}},
	"disconnects": {key: 1, id: true, columns: []string{"id"}, body: "number", values: onlyID},
	"upstream_clients": {key: 1, columns: []string{"id", "issuer"}, values: func(m record.Moved, _ place) []any {
		c := m.Value.(*storage.UpstreamClient)
		return []any{record.Digest(c.Issuer, c.Provider, c.Server), record.Digest(c.Issuer)}
	}},
	"revocations": {key: 1, columns: []string{"id", "issuer", "due_at"}, values: func(m record.Moved, _ place) []any {
		r := m.Value.(*storage.ProviderRevocation)
		return []any{[]byte(r.ID), record.Digest(r.Issuer), record.Nanos(r.DueAt)}
	}},
	"virtual_keys": {key: 1, columns: []string{"id", "issuer"}, values: func(m record.Moved, _ place) []any {
		k := m.Value.(*storage.VirtualKey)
		return []any{record.Digest(k.Issuer, k.Look), record.Digest(k.Issuer)}
	}},
	"virtual_key_changes": {key: 1, id: true, columns: []string{"id"}, body: "number", values: onlyID},
	"persons": {key: 1, columns: []string{"id", "issuer", "due_at"}, values: func(m record.Moved, _ place) []any {
		p := m.Value.(*storage.Person)
		var due any // null for never
		if !p.DueAt.IsZero() {
			due = record.Nanos(p.DueAt)
		}
		return []any{record.Digest(p.Issuer, p.Subject), record.Digest(p.Issuer), due}
	}},
}

// queues are the tables whose records wait in queues, by the kind of the places.
// Those of clients are told by the client.
var queues = map[string]string{"grant_places": "grants", "browser_session_places": "browser_sessions"}

func tableOf(kind record.Kind) (t table, kept bool) {
	t, kept = tables[kind.Name]
	t.name = kind.Name
	if t.body == "" {
		t.body = "body"
	}
	return t, kept
}

func onlyID(m record.Moved, _ place) []any { return []any{m.ID} }

// ofGrant has no subject and no client once the grant is revoked, as then nobody finds
// it by them.
func ofGrant(m record.Moved, _ place) []any {
	g := m.Value.(*storage.Grant)
	var client, subject []byte
	if g.RevokedAt.IsZero() {
		client, subject = record.Digest(g.Issuer, g.ClientID), record.Digest(g.Issuer, g.Identity.Subject)
	}
	tokens := make([][]byte, len(g.AccessTokens))
	for i := range tokens {
		tokens[i] = g.AccessTokens[i][:]
	}
	return []any{[]byte(g.ID), client, subject, person(g.Issuer, g.Identity), tokens, hash(g.RefreshToken), record.Nanos(g.ExpiresAt)}
}

func connectionKey(k storage.ConnectionKey) []any {
	return []any{record.Digest(k.Issuer), record.Digest(k.Owner), record.Digest(k.Server)}
}

// hash is one that may not be there.
func hash(h *storage.Hash) []byte {
	if h == nil {
		return nil
	}
	return h[:]
}

// person is the reference of a record to the person of its identity, if it has one.
func person(issuer string, id storage.Identity) []byte {
	if id.Person == "" {
		return nil
	}
	return record.Digest(issuer, id.Subject)
}

// placeOf is where a client waits, if it does.
func placeOf(value any) (p place) {
	c, isClient := value.(*storage.Client)
	if !isClient || c.Used {
		return p
	}
	sender, group, at := record.ClientQueue(*c)
	since := record.Nanos(at)
	return place{sender, group, &since}
}
