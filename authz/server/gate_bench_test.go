package server

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

// discard is a ResponseWriter that costs nothing but its headers.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func bearerRequests(issued []string) []*http.Request {
	requests := make([]*http.Request, len(issued))
	for i, token := range issued {
		requests[i] = httptest.NewRequest("POST", mcpURL, nil)
		requests[i].Header.Set(authHeader, "Bearer "+token)
	}
	return requests
}

// BenchmarkCheckHot is a call whose token is cached, among few and many.
func BenchmarkCheckHot(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newGateFixture(b, gateConfig())
			f.cache = tokens.NewCache(f.store, 2*n) // none is evicted by an uneven shard
			f.as.deps.TokenCache = f.cache
			issued := make([]string, n)
			for i := range issued {
				issued[i] = f.issue(nil)
			}
			g := f.gate("mcp")
			// Few connections, of many grants: as a proxy sees them.
			requests := bearerRequests(issued[:min(n, 4096)])
			w := &discard{http.Header{}}
			for _, token := range issued {
				if _, err := lookUp(b.Context(), f.cache, storage.HashOf(token), f.clock.Now()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if g.Check(w, requests[i%len(requests)]) == nil {
					b.Fatal("refused")
				}
				i++
			}
		})
	}
}

var coldTokens = flag.Int("cold-tokens", 1000, "access tokens in the file of BenchmarkCheckCold")

// BenchmarkCheckCold is a call whose token must be read from the file.
func BenchmarkCheckCold(b *testing.B) {
	store, err := boltstore.Open(filepath.Join(b.TempDir(), "db"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	f := newGateFixture(b, gateConfig())
	f.as.deps.TokenCache = tokens.NewCache(store, 1024)
	issued := grantTokens(b, store, *coldTokens, f.clock.Now())
	requests := bearerRequests(issued[:min(len(issued), 1<<16)])
	g, w := f.gate("mcp"), &discard{http.Header{}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(requests) == 0 { // nothing is answered from the cache twice
			f.clock.Advance(tokens.TTL + 1)
		}
		if g.Check(w, requests[i%len(requests)]) == nil {
			b.Fatal("refused")
		}
		i++
	}
}

// grantTokens takes n grants through the store as people do, many at a time,
// so that they share the cost of making them durable.
func grantTokens(b *testing.B, store storage.Store, n int, now time.Time) []string {
	b.Helper()
	issued := make([]string, n)
	var workers errgroup.Group
	workers.SetLimit(256)
	for i := range n {
		workers.Go(func() error {
			var err error
			issued[i], err = grantToken(b.Context(), store, fmt.Sprint("grant-", i), now)
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		b.Fatal(err)
	}
	return issued
}

func grantToken(ctx context.Context, store storage.Store, grantID string, now time.Time) (token string, err error) {
	end := now.Add(24 * time.Hour)
	id := storage.Identity{Kind: string(identity.Anonymous), Subject: "anonymous:" + grantID}
	code := storage.HashOf(grantID)
	if _, err := store.SaveFlow(ctx, storage.Flow{ID: grantID, Issuer: gateIssuer, Identity: id, ExpiresAt: end}, now); err != nil {
		return token, err
	}
	grant := &storage.Grant{
		ID: grantID, Issuer: gateIssuer, ClientID: "client", Identity: id, Scope: []string{"mcp:use"},
		Resources: []string{mcpURL}, CreatedAt: now, ExpiresAt: end, AbsoluteExpiresAt: end,
	}
	if _, err := store.SubmitFlow(ctx, storage.Submission{
		FlowID: grantID, Issuer: gateIssuer, Identity: id, Grant: grant, Now: now,
		Code: &storage.Code{Hash: code, GrantID: grantID, Issuer: gateIssuer, ClientID: "client", Challenge: "c", ExpiresAt: end},
	}); err != nil {
		return token, err
	}
	access := storage.AccessToken{
		GrantID: grantID, Issuer: gateIssuer, ClientID: "client", Identity: id, Scope: grant.Scope, Audience: grant.Resources, IssuedAt: now, ExpiresAt: end,
	}
	token = gateTokens.New(tokens.ContentsOf(&access))
	access.Hash = storage.HashOf(token)
	result, err := store.ClaimCode(ctx, storage.CodeClaim{
		Hash: code, Issuer: gateIssuer, ClientID: "client", Challenge: "c", Now: now,
		Issue: storage.Issue{GrantExpiresAt: end, Access: access},
	})
	if err == nil && result.Verdict != storage.OK {
		err = fmt.Errorf("verdict %v", result.Verdict)
	}
	return token, err
}

// BenchmarkCheckRefused is a call that fails without the store, among so many that
// the log has no line of it.
func BenchmarkCheckRefused(b *testing.B) {
	f := newGateFixture(b, gateConfig())
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)
	f.as.deps.Events = oauthtest.Events(zap.New(core))
	g := f.gate("mcp")
	for name, r := range map[string]*http.Request{
		"none":    httptest.NewRequest("POST", mcpURL, nil),
		"garbage": bearerRequests([]string{"garbage"})[0],
		"forged":  bearerRequests([]string{tokens.NewAccessTokens(gateKeys, "https://other.example.com").New(tokens.Contents{})})[0],
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Check(&discard{http.Header{}}, r)
			}
		})
	}
}
