package pgstore

import (
	"encoding/json"
	"math"
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

// nanos is a time that sorts, also one that Unix nanoseconds cannot hold.
func nanos(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64
	case s > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// keep is until when a record with this end is kept, in the database's time.
func (d *db) keep(t time.Time) int64 {
	d.clock.toDatabase(&t)
	return int64(record.Until(t))
}

// nanos is a time as a column, in the database's time.
func (d *db) nanos(t time.Time) int64 {
	d.clock.toDatabase(&t)
	return nanos(t)
}

// keepOrForever is keep for a record that may have no end.
func (d *db) keepOrForever(t time.Time) int64 {
	if t.IsZero() {
		return int64(record.Forever)
	}
	return d.keep(t)
}

func clientTimes(c *storage.Client) []*time.Time {
	return []*time.Time{&c.CreatedAt, &c.ExpiresAt, &c.ApprovedAt}
}

func flowTimes(f *storage.Flow) []*time.Time { return []*time.Time{&f.ExpiresAt} }

func codeTimes(c *storage.Code) []*time.Time { return []*time.Time{&c.ExpiresAt} }

func sessionTimes(b *storage.BrowserSession) []*time.Time {
	return []*time.Time{&b.CreatedAt, &b.ExpiresAt}
}

func stateTimes(s *storage.ConnectState) []*time.Time { return []*time.Time{&s.ExpiresAt} }

func upstreamTimes(c *storage.UpstreamClient) []*time.Time {
	return []*time.Time{&c.CreatedAt, &c.ExpiresAt}
}

func revocationTimes(r *storage.ProviderRevocation) []*time.Time {
	return []*time.Time{&r.DueAt, &r.ExpiresAt}
}

func siteValueTimes(v *storage.SiteValue) []*time.Time { return []*time.Time{&v.ExpiresAt} }

func connectionTimes(c *storage.Connection) []*time.Time {
	times := []*time.Time{&c.TokenExpiresAt, &c.CreatedAt, &c.UpdatedAt, &c.ExpiresAt, &c.LeaseUntil, &c.RefusedSince}
	if c.OnExpiry != nil {
		own := *c.OnExpiry // the caller's stays as it is
		c.OnExpiry = &own
		times = append(times, revocationTimes(c.OnExpiry)...)
	}
	return times
}

// encode writes a record as JSON, in the database's time.
func encode[T any](d *db, r T, times func(*T) []*time.Time) ([]byte, error) {
	d.clock.toDatabase(times(&r)...)
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
	d.clock.fromDatabase(times(&r)...)
	return r, true, nil
}

func grantTimes(g *storage.Grant) []*time.Time {
	return []*time.Time{&g.CreatedAt, &g.ExpiresAt, &g.AbsoluteExpiresAt, &g.LastUsedAt, &g.RevokedAt}
}

func refreshTimes(t *storage.RefreshToken) []*time.Time {
	return []*time.Time{&t.ExpiresAt, &t.RotatedAt}
}

func accessTimes(t *storage.AccessToken) []*time.Time {
	return []*time.Time{&t.IssuedAt, &t.ExpiresAt}
}

// decodeBinary is decode for what package record writes.
func decodeBinary[T any](d *db, body []byte, read func([]byte) (T, error), times func(*T) []*time.Time) (r T, found bool, err error) {
	if body == nil {
		return r, false, nil
	}
	if r, err = read(body); err != nil {
		return *new(T), false, err
	}
	d.clock.fromDatabase(times(&r)...)
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
