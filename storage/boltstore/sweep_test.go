package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// batches lets a test act within each transaction of a sweep, and counts what
// each removes.
type batches struct {
	*engine
	during  func(batch int, r kv.Reader)
	removed []int
}

func (b *batches) Update(ctx context.Context, fn func(kv.Tx) error) error {
	return b.engine.Update(ctx, func(t kv.Tx) error {
		counted := &countedTx{Tx: t}
		b.during(len(b.removed), t)
		err := fn(counted)
		b.removed = append(b.removed, counted.deletes)
		return err
	})
}

type countedTx struct {
	kv.Tx
	deletes int
}

func (t *countedTx) Delete(key []byte) error {
	t.deletes++
	return t.Tx.Delete(key)
}

// However much a sweep has to remove, the claims that come while it is at work
// wait for the batch that is being written and for no other: they are there
// when the next one begins.
func TestSweepLetsClaimsThroughAfterOneBatch_M13(t *testing.T) {
	const expired, most, callers = 3000, 256, 3
	e := tempEngine(t)
	s := kv.New(e)
	ctx := background()
	err := e.Update(ctx, func(tx kv.Tx) error { // all at once: the disk is not the subject
		in := kv.New(within{tx})
		for i := range expired {
			if _, err := in.UseOnce(ctx, storage.HashOf(fmt.Sprint("jti ", i)), benchNow, benchNow.Add(-1)); err != nil {
				return err
			}
		}
		for i := range uint64(2 * callers * expired / most) {
			if err := approve(ctx, in, i, benchNow); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	sweep := &batches{engine: e}
	var claims sync.WaitGroup
	claim := func(i int) {
		res, err := s.ClaimCode(ctx, benchClaim(uint64(i), benchNow))
		if err != nil || res.Verdict != storage.OK {
			t.Errorf("claim %d: verdict %v, %v", i, res.Verdict, err)
		}
	}
	sweep.during = func(batch int, r kv.Reader) {
		for i := range batch * callers {
			code, err := kv.New(within{readOnly{r}}).Code(ctx, benchHash("code", uint64(i), 0), benchNow)
			if err != nil || !code.Claimed {
				t.Errorf("batch %d began before claim %d, which came during batch %d: %v", batch, i, i/callers, err)
				return
			}
		}
		for i := range callers {
			claims.Go(func() { claim(batch*callers + i) })
		}
		queued(e, callers)
	}
	removed, err := kv.New(sweep).Sweep(ctx, benchNow)
	claims.Wait()
	if err != nil || removed != expired {
		t.Fatalf("removed %d of %d, %v", removed, expired, err)
	}
	if len(sweep.removed) < expired/most {
		t.Errorf("%d batches", len(sweep.removed))
	}
	for batch, n := range sweep.removed {
		if n > most {
			t.Errorf("batch %d removed %d records", batch, n)
		}
	}
}

// readOnly lets verbs that only read run in a transaction that is at work.
type readOnly struct{ kv.Reader }

func (readOnly) Put(_, _ []byte) error { return errReadOnly }
func (readOnly) Delete([]byte) error   { return errReadOnly }

var errReadOnly = errors.New("boltstore: a verb that only reads wrote")
