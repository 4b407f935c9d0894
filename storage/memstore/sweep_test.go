package memstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// counting counts what each transaction deletes, and gives others a turn
// between two of them.
type counting struct {
	kv.Engine
	between func()
	most    int
	total   int
}

func (c *counting) Update(ctx context.Context, fn func(kv.Tx) error) error {
	c.between()
	return c.Engine.Update(ctx, func(t kv.Tx) error {
		counted := &countingTx{Tx: t}
		err := fn(counted)
		c.most = max(c.most, counted.deletes)
		c.total += counted.deletes
		return err
	})
}

type countingTx struct {
	kv.Tx
	deletes int
}

func (t *countingTx) Delete(key []byte) error {
	t.deletes++
	return t.Tx.Delete(key)
}

// A large sweep comes in small transactions, with room for others in between,
// and leaves what was renewed meanwhile.
func TestSweepHoldsNobodyUp_M13(t *testing.T) {
	const records = 10_000
	ctx, now := context.Background(), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	name := func(i int) storage.Hash { return storage.HashOf(fmt.Sprint("jti ", i)) }
	e := newEngine()
	direct := kv.New(e)
	for i := range records {
		if _, err := direct.UseOnce(ctx, name(i), now, now.Add(-1)); err != nil {
			t.Fatal(err)
		}
	}

	turns := 0
	c := &counting{Engine: e}
	c.between = func() {
		if _, err := direct.UseOnce(ctx, name(turns), now.Add(time.Hour), now); err != nil {
			t.Error(err)
		}
		turns++
	}
	removed, err := kv.New(c).Sweep(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.most > 256 {
		t.Errorf("a transaction removed %d records", c.most)
	}
	if turns < records/256 {
		t.Errorf("others had %d turns", turns)
	}
	if removed != c.total || removed < records-turns {
		t.Errorf("removed %d, says %d", c.total, removed)
	}
	for i := range turns {
		if first, err := direct.UseOnce(ctx, name(i), now.Add(time.Hour), now); err != nil || first {
			t.Fatalf("record %d was renewed and swept: %t, %v", i, first, err)
		}
	}
}
