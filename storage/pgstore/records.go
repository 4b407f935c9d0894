package pgstore

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// ended reports whether a record with this expiry counts as absent.
func ended(expiresAt, now time.Time) bool { return !expiresAt.After(now) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// keep is until when a record with this end is kept, in the database's time.
func (d *db) keep(t time.Time) int64 {
	d.clock.ToDatabase(&t)
	return int64(record.Until(t))
}

// nanos is a time as a column, in the database's time.
func (d *db) nanos(t time.Time) int64 {
	d.clock.ToDatabase(&t)
	return record.Nanos(t)
}

// keepOrForever is keep for a record that may have no end.
func (d *db) keepOrForever(t time.Time) int64 {
	if t.IsZero() {
		return int64(record.Forever)
	}
	return d.keep(t)
}

// queuedAt is when a record entered, by the database's clock, as a parameter.
func queuedAt(d *db, p place) *int64 {
	if p.sender == nil {
		return nil
	}
	return new(d.nanos(p.at))
}

// Which times of a record are translated.
var (
	clientTimes     = record.ClientTimes
	flowTimes       = record.FlowTimes
	codeTimes       = record.CodeTimes
	sessionTimes    = record.SessionTimes
	personTimes     = record.PersonTimes
	stateTimes      = record.StateTimes
	upstreamTimes   = record.UpstreamTimes
	revocationTimes = record.RevocationTimes
	virtualKeyTimes = record.VirtualKeyTimes
	siteValueTimes  = record.SiteValueTimes
	connectionTimes = record.ConnectionTimes
	grantTimes      = record.GrantTimes
	refreshTimes    = record.RefreshTimes
	accessTimes     = record.AccessTimes
)

// encode writes a record as JSON, in the database's time.
func encode[T any](d *db, r T, times func(*T) []*time.Time) ([]byte, error) {
	d.clock.ToDatabase(times(&r)...)
	return json.Marshal(r)
}

// decode reads what encode wrote; it reports false when there is none.
func decode[T any](d *db, body []byte, times func(*T) []*time.Time) (r T, found bool, err error) {
	if body == nil {
		return r, false, nil
	}
	if json.Unmarshal(body, &r) != nil {
		return *new(T), false, record.ErrCorrupt // the cause would quote the record
	}
	d.clock.FromDatabase(times(&r)...)
	return r, true, nil
}

// decodeBinary is decode for what package record writes.
func decodeBinary[T any](d *db, body []byte, read func([]byte) (T, error), times func(*T) []*time.Time) (r T, found bool, err error) {
	if body == nil {
		return r, false, nil
	}
	if r, err = read(body); err != nil {
		return *new(T), false, err
	}
	d.clock.FromDatabase(times(&r)...)
	return r, true, nil
}

// live is what a reading verb answers: ErrNotFound for what is not there or ended.
func live[T any](r T, found bool, err error) (T, error) {
	if err == nil && !found {
		err = storage.ErrNotFound
	}
	if err != nil {
		return *new(T), err
	}
	return r, nil
}

// key is a hash as a parameter.
func key(h storage.Hash) []byte { return h[:] }

// optional is a hash that may not be there as a parameter.
func optional(h *storage.Hash) []byte {
	if h == nil {
		return nil
	}
	return h[:]
}

func keys(hashes []storage.Hash) [][]byte {
	all := make([][]byte, len(hashes))
	for i := range hashes {
		all[i] = hashes[i][:]
	}
	return all
}

func (d *db) accessToken(h storage.Hash, body []byte) (storage.AccessToken, bool, error) {
	t, found, err := decodeBinary(d, body, record.AccessToken, accessTimes)
	t.Hash = h
	return t, found, err
}

func (d *db) session(h storage.Hash, body []byte) (storage.BrowserSession, bool, error) {
	b, found, err := decode(d, body, sessionTimes)
	b.Hash = h
	return b, found, err
}

// hold reports whether an authentication still holds; none always does.
func (d *db) hold(h holds, issuer string, now time.Time) (bool, error) {
	if h.Authentication == nil {
		return true, nil
	}
	if h.FlowID != "" {
		f, found, err := d.filledFlow(h.owned, now)
		return found && f.Issuer == issuer && !f.Submitted && f.Identity.Same(h.Identity), err
	}
	b, found, err := d.filledSession(h.Session, h.owned, now)
	return found && b.Issuer == issuer && !ended(b.ExpiresAt, now) && b.Identity.Same(h.Identity), err
}

func (d *db) liveClient(body []byte, now time.Time) (storage.Client, error) {
	c, found, err := decode(d, body, clientTimes)
	return live(c, found && !ended(c.ExpiresAt, now), err)
}

func (d *db) code(h storage.Hash, body []byte) (storage.Code, bool, error) {
	c, found, err := decode(d, body, codeTimes)
	c.Hash = h
	return c, found, err
}

// liveConnection returns the connection, false when there is none or it ended.
func (d *db) liveConnection(body []byte, k storage.ConnectionKey, now time.Time) (storage.Connection, bool, error) {
	c, found, err := decode(d, body, connectionTimes)
	if err == nil && found && c.ConnectionKey != k {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil || !found || connectionEnded(c, now) {
		return storage.Connection{}, false, err
	}
	return c, true, nil
}

// liveConnections returns the connections of an owner, or with none of
// everybody, by server and then by owner.
func (d *db) liveConnections(found [][]byte, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	var all []storage.Connection
	for _, b := range found {
		c, _, err := decode(d, b, connectionTimes)
		if err != nil {
			return nil, err
		}
		if c.Issuer != issuer || owner != "" && c.Owner != owner {
			return nil, record.ErrCorrupt // somebody moved the record
		}
		if !connectionEnded(c, now) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b storage.Connection) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Owner, b.Owner))
	})
	return all, nil
}

// liveFlow returns a flow, false when there is none or it ended.
func (d *db) liveFlow(body []byte, now time.Time) (storage.Flow, bool, error) {
	f, found, err := decode(d, body, flowTimes)
	if err != nil || !found || ended(f.ExpiresAt, now) {
		return storage.Flow{}, false, err
	}
	return f, true, nil
}

// flowRow are the parameters of insertFlow.
func flowRow(d *db, f storage.Flow, body []byte) []any {
	return []any{
		[]byte(f.ID), record.Digest(f.Issuer, f.Identity.Subject), record.Digest(f.Identity.Subject), personOf(f.Issuer, f.Identity),
		key(f.Browser), d.keep(f.ExpiresAt), body,
	}
}

// pending returns the flows that nobody submitted yet and that are meant.
func (d *db) pending(found [][]byte, issuer string, now time.Time, meant func(storage.Flow) bool) (all []storage.Flow, err error) {
	for _, b := range found {
		f, found, err := d.liveFlow(b, now)
		if err != nil {
			return nil, err
		}
		if found && f.Issuer == issuer && !f.Submitted && meant(f) {
			all = append(all, f)
		}
	}
	return all, nil
}

func (d *db) grant(body []byte) (storage.Grant, bool, error) {
	return decodeBinary(d, body, record.Grant, grantTimes)
}

// upstreamClient returns the registration, false when there is none or it ended.
func (d *db) upstreamClient(body []byte, issuer, provider, server string, now time.Time) (storage.UpstreamClient, bool, error) {
	c, found, err := decode(d, body, upstreamTimes)
	if err == nil && found && (c.Issuer != issuer || c.Provider != provider || c.Server != server) {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err != nil || !found || upstreamClientEnded(c, now) {
		return storage.UpstreamClient{}, false, err
	}
	return c, true, nil
}

func (d *db) refreshToken(h storage.Hash, body []byte) (storage.RefreshToken, bool, error) {
	t, found, err := decodeBinary(d, body, record.RefreshToken, refreshTimes)
	t.Hash = h
	return t, found, err
}

// used reports whether the body is of a value that counts as used.
func (d *db) used(body []byte, now time.Time) (bool, error) {
	if len(body) == 0 {
		return false, nil
	}
	expiresAt, err := record.Time(body)
	if err != nil {
		return false, err
	}
	d.clock.FromDatabase(&expiresAt)
	return !ended(expiresAt, now), nil
}
