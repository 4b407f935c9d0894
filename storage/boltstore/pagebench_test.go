package boltstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// BenchmarkPage is what one page of 100 costs an operator, in the middle of so many
// grants and connections.
func BenchmarkPage(b *testing.B) {
	const grants = 100_000
	e := benchEngine(b)
	fill(b, e, grants)
	inBulk(b, e, 0, grants, func(ctx context.Context, s storage.Store, i uint64) error {
		_, _, err := s.PutConnection(ctx, storage.Connection{
			ConnectionKey: storage.ConnectionKey{Issuer: benchIssuer, Owner: fmt.Sprint("user_id:", i), Server: "notion"}, ID: fmt.Sprint(i),
		}, benchNow)
		return err
	})
	s, ctx := kv.New(e), context.Background()
	_, client, _ := benchGrant(grants / 2)
	for name, read := range map[string]func(after string) (int, string, error){
		"Grants": func(after string) (int, string, error) { return paged(s.Grants(ctx, after, 100, benchNow)) },
		"GrantsOfClient": func(after string) (int, string, error) {
			return paged(s.GrantsOfClient(ctx, benchIssuer, client, after, 100, benchNow))
		},
		"Connections": func(after string) (int, string, error) {
			return paged(s.Connections(ctx, benchIssuer, after, 100, benchNow))
		},
		"Subjects": func(after string) (int, string, error) { return paged(s.Subjects(ctx, after, 100, benchNow)) },
	} {
		b.Run(name, func(b *testing.B) {
			after := ""
			for b.Loop() {
				found, next, err := read(after)
				if err != nil {
					b.Fatal(err)
				}
				if after = next; found == 0 && next != "" {
					b.Fatal("an empty page")
				}
			}
		})
	}
}

func paged[T any](page []T, next string, err error) (int, string, error) { return len(page), next, err }
