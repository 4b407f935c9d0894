package move

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// batch is how many records are read, and written in one transaction, at once.
var batch = 500

// Count is how many records of a kind there are. Sum is over the SHA-256 of each of
// them in a form that is the same for every store. Stores have orders of their own,
// so the sum, an exclusive or, does not depend on any: it finds what was lost, added
// or changed, not what somebody forged who could change both stores.
type Count struct {
	Kind    string `json:"kind"`
	Records int    `json:"records"`
	Sum     string `json:"sum"` // in hexadecimal
}

// Survey is what there is in a store.
type Survey struct {
	Counts []Count `json:"counts"` // of all kinds
	// Sealed counts what is sealed by the name of its key, and Unopened what none of
	// the keys opens.
	Sealed   map[string]int `json:"sealed,omitempty"`
	Unopened int            `json:"unopened,omitempty"`
}

// Records is how many there are of all kinds.
func (s *Survey) Records() (n int) {
	for _, c := range s.Counts {
		n += c.Records
	}
	return n
}

// Look reads all records of a store. With keys, it tries what is sealed. seen is told
// of each kind how many were read so far.
func Look(ctx context.Context, of Side, keys *seal.Keyring, seen func(kind string, records int)) (*Survey, error) {
	s := &Survey{Sealed: map[string]int{}}
	for _, kind := range record.Kinds {
		c, sum := Count{Kind: kind.Name}, make([]byte, sha256.Size)
		err := pages(ctx, of, kind, nil, func(page []record.Moved, _ []byte) error {
			for _, m := range page {
				form, err := m.Canonical()
				if err != nil {
					return err
				}
				one := sha256.Sum256(form)
				subtle.XORBytes(sum, sum, one[:])
				s.try(m.Value, keys)
			}
			c.Records += len(page)
			seen(kind.Name, c.Records)
			return nil
		})
		if err != nil {
			return nil, err
		}
		c.Sum = hex.EncodeToString(sum)
		s.Counts = append(s.Counts, c)
	}
	return s, nil
}

// try counts what is sealed in a record.
func (s *Survey) try(value any, keys *seal.Keyring) {
	sealed.Replace(value, func(v storage.SealedValue) []byte {
		s.Sealed[seal.KeyID(v.Sealed)]++
		if keys != nil {
			if _, err := keys.Open(v.Sealed, v.Context...); err != nil {
				s.Unopened++
			}
		}
		return nil
	})
}

// Difference says in which kinds two stores differ; empty if in none.
func (s *Survey) Difference(other *Survey) (text string) {
	for i, c := range s.Counts {
		if o := other.Counts[i]; c != o {
			text += fmt.Sprintf("; %s: %d with sum %s, and %d with sum %s", c.Kind, c.Records, c.Sum, o.Records, o.Sum)
		}
	}
	return text
}

// pages hands out all records of a kind behind a place, and where each page ends.
func pages(ctx context.Context, of Side, kind record.Kind, after []byte, fn func(page []record.Moved, next []byte) error) error {
	for {
		page, next, err := of.Page(ctx, kind, after, batch)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := fn(page, next); err != nil || next == nil {
			return err
		}
		after = next
	}
}
