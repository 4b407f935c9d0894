package boltstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// fill signs in so many times, without waiting for the disk.
func fill(b *testing.B, e *engine, grants uint64) {
	b.Helper()
	inBulk(b, e, 0, grants, signIn)
}

// approveAll takes the grants of the range up to their codes.
func approveAll(b *testing.B, e *engine, from, to uint64, now time.Time) {
	b.Helper()
	inBulk(b, e, from, to, func(ctx context.Context, s storage.Store, i uint64) error { return approve(ctx, s, i, now) })
}

// inBulk does the same for each of a range, without waiting for the disk.
func inBulk(b *testing.B, e *engine, from, end uint64, do func(ctx context.Context, s storage.Store, i uint64) error) {
	b.Helper()
	ctx := context.Background()
	e.db.bolt.NoSync = true
	for from < end {
		// bbolt splits pages at commit: a batch must not outgrow what is there.
		to := min(from+max(500, from/2), end)
		err := e.Update(ctx, func(t kv.Tx) error {
			s := kv.New(within{t})
			for i := from; i < to; i++ {
				if err := do(ctx, s, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		from = to
	}
	e.db.bolt.NoSync = false
	if err := e.db.bolt.Sync(); err != nil {
		b.Fatal(err)
	}
}

// within is an engine whose transactions are all part of one that runs.
type within struct{ tx kv.Tx }

func (w within) View(_ context.Context, fn func(kv.Reader) error) error { return fn(w.tx) }
func (w within) Update(_ context.Context, fn func(kv.Tx) error) error   { return fn(w.tx) }
func (w within) Close() error                                           { return nil }

// multiply signs in once and repeats the lasting records under so many random
// keys, in order and with pages as full as random insertion leaves them. Access
// token i is then at benchHash("a", i, 0).
func multiply(b *testing.B, e *engine, grants uint64) {
	b.Helper()
	fill(b, e, 1)
	e.db.bolt.NoSync = true
	for _, kind := range []string{"a", "g", "i", "r"} {
		keys := make([][]byte, grants)
		for i := range keys {
			h := benchHash(kind, uint64(i), 0)
			keys[i] = append([]byte(kind), h[:]...)
		}
		slices.SortFunc(keys, bytes.Compare)
		for batch := range slices.Chunk(keys, 20_000) {
			err := e.db.bolt.Update(func(btx *bbolt.Tx) error {
				bucket := btx.Bucket([]byte(kind))
				bucket.FillPercent = 0.7
				_, value := bucket.Cursor().Seek([]byte(kind))
				value = bytes.Clone(value)
				for _, key := range batch {
					if err := bucket.Put(key, value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	e.db.bolt.NoSync = false
	if err := e.db.bolt.Sync(); err != nil {
		b.Fatal(err)
	}
}

const (
	benchIssuer    = "https://mcp.example.com"
	benchRedirect  = "http://127.0.0.1:33418/callback"
	benchChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func benchHash(kind string, grant, generation uint64) storage.Hash {
	var b [32]byte
	copy(b[:], kind)
	binary.BigEndian.PutUint64(b[16:], grant)
	binary.BigEndian.PutUint64(b[24:], generation)
	return sha256.Sum256(b[:])
}

func benchGrant(i uint64) (id, client string, who storage.Identity) {
	random := benchHash("grant", i, 0) // real IDs are random: they land anywhere in the tree
	id = fmt.Sprintf("%08x-0000-4000-8000-%012x", random[:4], i)
	client = fmt.Sprintf("00000000-0000-4000-9000-%012x", i%1000)
	who = storage.Identity{Kind: "user_id", Subject: fmt.Sprint("user_id:person-", i), Name: fmt.Sprint("person-", i)}
	return id, client, who
}

func signIn(ctx context.Context, s storage.Store, i uint64) error {
	if err := approve(ctx, s, i, benchNow); err != nil {
		return err
	}
	res, err := s.ClaimCode(ctx, benchClaim(i, benchNow))
	if err == nil && res.Verdict != storage.OK {
		err = fmt.Errorf("verdict %v", res.Verdict)
	}
	return err
}

// approve takes grant i up to its code, benchHash("code", i, 0).
func approve(ctx context.Context, s storage.Store, i uint64, now time.Time) error {
	_, client, who := benchGrant(i)
	return approveAs(ctx, s, i, who, client, now)
}

// approveAs is approve for somebody and a client.
func approveAs(ctx context.Context, s storage.Store, i uint64, who storage.Identity, client string, now time.Time) error {
	id, _, _ := benchGrant(i)
	flow := storage.Flow{ID: fmt.Sprintf("%d-%s", i*0x9e3779b97f4a7c15, id), Issuer: benchIssuer, Identity: who, ExpiresAt: now.Add(15 * time.Minute)}
	if _, err := s.SaveFlow(ctx, flow, now); err != nil {
		return err
	}
	verdict, err := s.SubmitFlow(ctx, storage.Submission{
		FlowID: flow.ID, Issuer: benchIssuer, Identity: who, Now: now,
		Code: &storage.Code{
			Hash: benchHash("code", i, 0), GrantID: id, Issuer: benchIssuer, ClientID: client, RedirectURI: benchRedirect,
			Challenge: benchChallenge, ExpiresAt: now.Add(5 * time.Minute),
		},
		Grant: &storage.Grant{
			ID: id, Issuer: benchIssuer, ClientID: client, Identity: who, Scope: []string{"mcp:use"},
			Resources: []string{benchIssuer + "/mcp"}, RedirectURI: benchRedirect, ClientName: "A client", CreatedAt: now,
			ExpiresAt: now.Add(24 * time.Hour), AbsoluteExpiresAt: now.Add(90 * 24 * time.Hour),
		},
	})
	if err == nil && verdict != storage.OK {
		err = fmt.Errorf("verdict %v", verdict)
	}
	return err
}

// benchClaim redeems the code of grant i.
func benchClaim(i uint64, now time.Time) storage.CodeClaim {
	_, client, _ := benchGrant(i)
	return storage.CodeClaim{
		Hash: benchHash("code", i, 0), Issuer: benchIssuer, ClientID: client, Challenge: benchChallenge, Now: now, Issue: benchIssue(i, 0, now),
	}
}

func benchIssue(i, generation uint64, now time.Time) storage.Issue {
	id, client, who := benchGrant(i)
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: benchHash("access", i, generation), GrantID: id, Issuer: benchIssuer, ClientID: client, Identity: who,
			Scope: []string{"mcp:use"}, Audience: []string{benchIssuer + "/mcp"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: benchHash("refresh", i, generation), GrantID: id, Issuer: benchIssuer, ClientID: client, ExpiresAt: now.Add(30 * 24 * time.Hour),
		},
		GrantExpiresAt: now.Add(30 * 24 * time.Hour),
	}
}

// rotation number n, from 0, of a grant.
func rotation(i, n uint64, now time.Time) storage.Rotation {
	_, client, _ := benchGrant(i)
	return storage.Rotation{
		Hash: benchHash("refresh", i, n), Issuer: benchIssuer, ClientID: client, Grace: time.Minute,
		Issue: benchIssue(i, n+1, now), Replay: make([]byte, 350), Now: now,
	}
}
