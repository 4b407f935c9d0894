package signing

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

const (
	// StatementLifetime is how long a statement is good.
	StatementLifetime = time.Minute
	// statementReuse is how long one serves for more calls.
	statementReuse = StatementLifetime / 2
	maxStatements  = 1 << 14
)

// Statements tell the servers behind who calls. Each is for one caller at one
// server, and serves for the calls of half a minute.
type Statements struct {
	cfg  *config.Site
	keys *Keys
	now  func() time.Time

	made    *cache.Cache[statementKey, []string]
	seed    maphash.Seed
	signing [64]sync.Mutex // held while one is being signed
}

// statementKey is whom a statement is about, and for which server.
type statementKey struct{ holder, scope, audience string }

// statement is its claims.
type statement struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ExpiresAt int64  `json:"exp"`
	IssuedAt  int64  `json:"iat"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Actor     *actor `json:"act,omitempty"`
}

// actor is who acts for the person (RFC 8693 section 4.1).
type actor struct {
	Subject string `json:"sub"`
}

// NewStatements returns the statements of a site.
func NewStatements(cfg *config.Site, keys *Keys, now func() time.Time) *Statements {
	s := &Statements{cfg: cfg, keys: keys, now: now, seed: maphash.MakeSeed()}
	s.made = cache.New[statementKey, []string](maxStatements, statementReuse, s.shardOf)
	return s
}

func (s *Statements) shardOf(k statementKey) uint64 { return maphash.String(s.seed, k.holder) }

// Values returns the values of the header in which a server is told who calls. They
// are shared, and must not be changed.
func (s *Statements) Values(ctx context.Context, c *tokens.Caller, to *config.Server) ([]string, error) {
	key := statementKey{c.Holder, c.Scope, to.Resource}
	if values, fresh, _ := s.made.Get(key, s.now()); fresh {
		return values, nil
	}
	mu := &s.signing[s.shardOf(key)%uint64(len(s.signing))]
	mu.Lock()
	defer mu.Unlock()
	now := s.now()
	values, fresh, generation := s.made.Get(key, now)
	if fresh { // somebody else signed meanwhile
		return values, nil
	}
	signed, err := s.sign(ctx, c, to, now)
	if err != nil {
		return nil, err
	}
	values = []string{to.IdentityJWTPrefix() + signed}
	s.made.Put(key, values, now, generation)
	return values, nil
}

func (s *Statements) sign(ctx context.Context, c *tokens.Caller, to *config.Server, now time.Time) (string, error) {
	expires, told := now.Add(StatementLifetime), s.keys.storeNow()
	claims := statement{
		Issuer: s.cfg.Issuer, Subject: c.Identity.Subject, Audience: to.Resource, ExpiresAt: told.Add(StatementLifetime).Unix(), IssuedAt: told.Unix(),
		Scope: c.Scope, ClientID: c.ClientID,
	}
	if c.ClientID != "" {
		claims.Actor = &actor{c.ClientID}
	}
	person := ClaimsOf(&c.Identity, s.cfg.SignIn, []string{"name", "email", "groups"})
	return s.keys.Sign(ctx, StatementType, Object(claims, person), expires)
}
