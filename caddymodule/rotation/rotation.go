package rotation

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// shortest is how long a key is needed at least after another took its place: what
// was handed out sealed or signed with it lives no longer, apart from access tokens.
const shortest = 24 * time.Hour

// Rotation is the encryption keys of one configuration.
type Rotation struct {
	resealer *reseal.Resealer
	ring     *seal.Keyring
	keys     []key
	lifetime time.Duration // of what is marked with a key
	log      *zap.Logger
	now      func() time.Time

	mu   sync.Mutex // held while the log is told
	told told
}

// key is a key as operators know it.
type key struct{ id, source string }

// told is what the log was told last.
type told struct {
	waits      bool
	pending    int
	done, free bool
	superseded bool
	unreadable int
}

// New returns the rotation of a ring, which the resealer is at work for. sources say
// where its keys come from, in order. tokens is how long an access token lives at most.
// now is the store's clock, by which all processes say alike since when a key seals.
func New(resealer *reseal.Resealer, ring *seal.Keyring, sources []string, tokens time.Duration, log *zap.Logger, now func() time.Time) *Rotation {
	r := &Rotation{resealer: resealer, ring: ring, lifetime: max(shortest, tokens), log: log, now: now}
	for i, id := range ring.IDs() {
		r.keys = append(r.keys, key{id, sources[i]})
	}
	return r
}

// Turn does the next bit of the work. It is to be called a few times a second.
func (r *Rotation) Turn(ctx context.Context) error {
	ended, err := r.resealer.Turn(ctx)
	if ended {
		r.tell(r.EncryptionKeys())
	}
	return err
}

// Waiting returns for how long something has been waiting to be sealed with the first
// key, 0 if nothing is.
func (r *Rotation) Waiting() time.Duration { return r.resealer.Waiting() }

// EncryptionKeys are what operators see.
type EncryptionKeys struct {
	Keys []EncryptionKey `json:"keys"` // as they are configured: the first encrypts, once all Caddys on the database have it
	// Unreadable counts, by kind of record, what none of the keys opens.
	Unreadable reseal.Counts `json:"unreadable,omitempty"`
	// Superseded tells that another Caddy on the same database was configured later
	// with another first key, which is the one that counts.
	Superseded bool `json:"superseded,omitempty"`
	// Waits tells that the first key does not encrypt yet, because not all Caddys on
	// the same database have had it for a few seconds.
	Waits bool `json:"waits,omitempty"`
	// CheckedAt is when all records were last looked at.
	CheckedAt time.Time `json:"checked_at,omitzero"`
	// Done tells that no record needs any key but the first.
	Done bool `json:"done"`
	// Sealed counts what was sealed anew since this configuration was loaded.
	Sealed int `json:"sealed_anew"`
}

// EncryptionKey is an encryption key of the configuration.
type EncryptionKey struct {
	ID       string `json:"id"`     // a name that tells nothing about it
	Source   string `json:"source"` // where it is kept, such as `{file./run/secrets/mcp_oauth.key}`
	Encrypts bool   `json:"encrypts"`
	// Since is when a key became the one that encrypts.
	Since time.Time `json:"since,omitzero"`
	// Sealed counts, by kind of record, what it has sealed.
	Sealed reseal.Counts `json:"sealed,omitempty"`
	// MayGo is when a key may leave the configuration, if no record needs it.
	MayGo time.Time `json:"may_go,omitzero"`
}

// EncryptionKeys returns how far it is.
func (r *Rotation) EncryptionKeys() EncryptionKeys {
	s := r.resealer.Status()
	pending := s.Pending(r.keys[0].id).Total()
	looked, sealing := !s.LookedAt.IsZero(), r.ring.Sealing()
	o := EncryptionKeys{
		Unreadable: s.Unreadable, Superseded: s.Superseded, CheckedAt: s.LookedAt, Sealed: s.Sealed,
		Waits: sealing != r.keys[0].id, Done: looked && pending == 0 && !s.Superseded && sealing == r.keys[0].id,
	}
	for _, k := range r.keys {
		out := EncryptionKey{ID: k.id, Source: k.source, Encrypts: k.id == sealing, Sealed: maps.Clone(s.Found[k.id])}
		switch {
		case k.id == sealing:
			out.Since = s.Since
		case o.Done && !s.Since.IsZero():
			out.MayGo = s.Since.Add(r.lifetime)
		}
		o.Keys = append(o.Keys, out)
	}
	return o
}

// tell logs what has changed since the look before.
func (r *Rotation) tell(o EncryptionKeys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.told
	pending := 0
	for _, k := range o.Keys[1:] {
		pending += k.Sealed.Total()
	}
	free := o.Done && len(o.Keys) > 1 && !r.now().Before(o.Keys[1].MayGo)
	r.told = told{waits: o.Waits, pending: pending, done: o.Done, free: free, superseded: o.Superseded, unreadable: o.Unreadable.Total()}
	if o.Superseded && !before.superseded {
		r.log.Warn("another Caddy on the same database encrypts with another encryption_key, and was configured later; what this one has sealed is sealed anew there. Give all the same keys in the same order")
	}
	if n := o.Unreadable.Total(); n > 0 && n != before.unreadable {
		r.log.Warn("some records cannot be opened with any encryption_key: put the key that they were sealed with behind the others; if it is lost, people connect those accounts again",
			zap.Int("records", n), zap.Any("by_kind", o.Unreadable))
	}
	if len(o.Keys) == 1 {
		return
	}
	switch {
	case o.Waits && !before.waits:
		r.log.Info("the first encryption_key encrypts as soon as all Caddys on the database have it; caddy mcp-oauth instances shows which have")
	case o.Waits:
	case free && !before.free:
		r.log.Info("the first encryption_key has sealed everything; the others may leave the configuration now")
	case o.Done && !before.done:
		r.log.Info("the first encryption_key has sealed everything; the others may leave the configuration when the tokens that they mark have ended",
			zap.Time("from", o.Keys[1].MayGo), zap.Int("sealed_anew", o.Sealed))
	case pending > 0 && before.pending == 0 && !o.Superseded:
		r.log.Info("sealing anew with the first encryption_key what others have sealed", zap.Int("records", pending))
	}
}
