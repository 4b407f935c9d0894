package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func (f *fixture) statements() *Statements {
	cfg := siteOf("EdDSA", 90*day)
	cfg.SignIn = identity.Methods{identity.ByVirtualKey(nil), identity.ByUserID()}
	return NewStatements(cfg, f.with(cfg), f.clock.Now)
}

func (f *fixture) value(s *Statements, c *tokens.Caller, to *config.Server) string {
	f.Helper()
	values, err := s.Values(f.Context(), c, to)
	if err != nil || len(values) != 1 {
		f.Fatalf("values %v, error %v", values, err)
	}
	return values[0]
}

var (
	wiki  = &config.Server{ID: "wiki", Resource: testIssuer + "/wiki", IdentityJWT: "X-Identity"}
	notes = &config.Server{ID: "notes", Resource: testIssuer + "/notes", IdentityJWT: "authorization"}
)

func callerOf(grant string) *tokens.Caller {
	return &tokens.Caller{
		GrantID: grant, Holder: grant, ClientID: "client-1", Scope: "mcp:use", Identity: storage.Identity{
			Kind: "user_id", Subject: "user_id:alice", Name: "alice",
			Claims: &storage.Claims{Email: "alice@example.com", Name: "Alice", Groups: []string{"staff"}},
		},
	}
}

func TestStatement(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	jws, err := jose.ParseSignedCompact(f.value(s, callerOf("grant-1"), wiki), []jose.SignatureAlgorithm{EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify(f.published(s.keys).Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"iss":"https://mcp.example.com","sub":"user_id:alice","aud":"https://mcp.example.com/wiki","exp":%d,"iat":%d,`+
		`"scope":"mcp:use","client_id":"client-1","act":{"sub":"client-1"},"email":"alice@example.com","groups":["staff"],"name":"Alice"}`,
		testStart.Unix()+60, testStart.Unix())
	if string(payload) != want {
		t.Errorf("claims\n got %s\nwant %s", payload, want)
	}
	if typ := jws.Signatures[0].Header.ExtraHeaders[jose.HeaderType]; typ != StatementType {
		t.Errorf("typ %v", typ)
	}
	if bearer := f.value(s, callerOf("grant-1"), notes); !strings.HasPrefix(bearer, "Bearer eyJ") {
		t.Errorf("in Authorization: %.20s", bearer)
	}
}

// One signature serves a grant at a server for half a minute, and no other grant,
// server or scope.
func TestStatementServesHalfAMinute(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	first := f.value(s, callerOf("grant-1"), wiki)
	bob := callerOf("grant-2")
	bob.Identity.Subject = "user_id:bob"
	narrow := callerOf("grant-1")
	narrow.Scope = ""
	for name, other := range map[string]string{
		"grant": f.value(s, bob, wiki), "server": f.value(s, callerOf("grant-1"), notes), "scope": f.value(s, narrow, wiki),
	} {
		if other == first {
			t.Errorf("serves another %s", name)
		}
	}
	f.clock.Advance(statementReuse)
	if f.value(s, callerOf("grant-1"), wiki) != first {
		t.Error("signed anew within half a minute")
	}
	f.clock.Advance(time.Nanosecond)
	if f.value(s, callerOf("grant-1"), wiki) == first {
		t.Error("serves longer than half a minute")
	}
}

// A call of somebody who called a moment ago costs no memory and no read.
func TestStatementAllocatesNothing(t *testing.T) {
	f := newFixture(t, memstore.New())
	s, c := f.statements(), callerOf("grant-1")
	f.value(s, c, wiki)
	reads := f.store.reads
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Values(t.Context(), c, wiki); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if f.store.reads != reads {
		t.Errorf("%d reads of the store", f.store.reads-reads)
	}
}

// Calls at the same time share one signature.
func TestStatementIsSignedOnce(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	for range 50 {
		f.clock.Advance(statementReuse + time.Second)
		const racers = 16
		values := make([]string, racers)
		var all sync.WaitGroup
		start := make(chan struct{})
		for n := range racers {
			all.Go(func() {
				<-start
				got, err := s.Values(t.Context(), callerOf("grant-1"), wiki)
				if err != nil {
					t.Error(err)
					return
				}
				values[n] = fmt.Sprintf("%p", got) // signatures of Ed25519 are the same for the same second
			})
		}
		close(start)
		all.Wait()
		for _, v := range values {
			if v != values[0] {
				t.Fatalf("signed more than once: %v", values)
			}
		}
	}
}

// However many call, what is remembered is bounded.
func TestStatementsAreBounded(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	const size = 640
	s.made = cache.New[statementKey, []string](size, statementReuse, s.shardOf)
	for n := range 2 * size {
		f.value(s, callerOf(fmt.Sprint("grant-", n)), wiki)
	}
	if n := s.made.Len(); n > size || n < size/2 {
		t.Errorf("%d are remembered", n)
	}
}

func TestStatementFails(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	f.store.err = errors.New("down")
	if values, err := s.Values(t.Context(), callerOf("grant-1"), wiki); !errors.Is(err, f.store.err) || values != nil {
		t.Errorf("values %v, error %v", values, err)
	}
}

// What is said of a person stays within what servers take as a header.
func TestStatementIsBounded(t *testing.T) {
	f := newFixture(t, memstore.New())
	s := f.statements()
	c := callerOf("grant-1")
	for n := range 1000 {
		c.Identity.Claims.Groups = append(c.Identity.Claims.Groups, fmt.Sprintf("8f2ab1c0-0000-0000-0000-%012d", n))
	}
	value := f.value(s, c, wiki)
	jws, err := jose.ParseSignedCompact(value, []jose.SignatureAlgorithm{EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claims); err != nil {
		t.Fatal(err)
	}
	if claims["hasgroups"] != true || claims["groups"] != nil || claims["email"] == nil || len(value) > 2000 {
		t.Errorf("%d bytes: %v", len(value), claims)
	}
}

func BenchmarkStatement(b *testing.B) {
	cfg := siteOf("EdDSA", 90*day)
	s := NewStatements(cfg, NewKeys(cfg, memstore.New(), ringOf(b, 1), nil, time.Now), time.Now)
	c := callerOf("7b0e4c4e-1f2d-4e8e-8f0e-2f5f4b1f9a10")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Values(b.Context(), c, wiki); err != nil {
			b.Fatal(err)
		}
	}
}
