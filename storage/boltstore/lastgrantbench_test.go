package boltstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// BenchmarkLastGrant is what a page asks for that lets choose tools: beside it is what
// reading all grants of the person costs.
func BenchmarkLastGrant(b *testing.B) {
	for _, grants := range []uint64{1, 20, 2_000} {
		e := benchEngine(b)
		inBulk(b, e, 0, grants, func(ctx context.Context, s storage.Store, i uint64) error {
			return approveAs(ctx, s, i, storage.Identity{Kind: "user_id", Subject: "alice"}, "client", benchNow.Add(time.Duration(i)*time.Second))
		})
		s, now := kv.New(e), benchNow.Add(time.Duration(grants)*time.Second)
		last, _, _ := benchGrant(grants - 1)
		b.Run(fmt.Sprint("grants=", grants), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if g, err := s.LastGrant(context.Background(), benchIssuer, "alice", "client", now); err != nil || g.ID != last {
					b.Fatal(g.ID, err)
				}
			}
		})
		b.Run(fmt.Sprint("all/grants=", grants), func(b *testing.B) {
			for b.Loop() {
				if all, err := s.GrantsOf(context.Background(), benchIssuer, "alice", now); err != nil || uint64(len(all)) != grants {
					b.Fatal(len(all), err)
				}
			}
		})
	}
}
