package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// site is what all parts of a Broker share: the configuration, and the records
// of its connections, which are sealed.
type site struct {
	cfg     *config.Site
	deps    Deps
	servers map[string]*config.Server
	// ahead is how far the clock is ahead by which all processes on the store go.
	ahead func() time.Duration
}

func newSite(cfg *config.Site, deps Deps) *site {
	st := &site{cfg: cfg, deps: deps, servers: map[string]*config.Server{}, ahead: storage.AheadOf(deps.Store)}
	for _, s := range cfg.ConnectedServers() {
		st.servers[s.ID] = s
	}
	return st
}

// toStore returns a time as it is sealed: another process opens it, whose clock may
// be minutes apart. Zero, which means none, stays so.
func (st *site) toStore(t time.Time) time.Time { return shift(t, st.ahead()) }

// fromStore reverses toStore, for the clock of this process.
func (st *site) fromStore(t time.Time) time.Time { return shift(t, -st.ahead()) }

// storeNow is the time by the store's clock.
func (st *site) storeNow() time.Time { return st.toStore(st.deps.Now()) }

func shift(t time.Time, by time.Duration) time.Time {
	if t.IsZero() || by == 0 {
		return t
	}
	return t.Add(by)
}

func (st *site) key(owner string, s *config.Server) storage.ConnectionKey {
	return st.keyOf(owner, s.ID)
}

// keyOf names the connection of an owner at a server, by an id that may be an
// account's.
func (st *site) keyOf(owner, id string) storage.ConnectionKey {
	return storage.ConnectionKey{Issuer: st.cfg.Issuer, Owner: owner, Server: id}
}

// server returns the configured server that is connected under an id, which may be
// that of one of several accounts, or nil. What is found out of a server is the same
// for all of them.
func (st *site) server(id string) *config.Server {
	if s := st.servers[id]; s != nil {
		return s
	}
	id, account := config.SplitID(id)
	if s := st.servers[id]; s != nil && s.HasAccounts() && config.IsAccountName(account) {
		return s
	}
	return nil
}

// find returns a connection, or the zero one if there is none.
func (st *site) find(ctx context.Context, k storage.ConnectionKey) (storage.Connection, error) {
	c, err := st.deps.Store.Connection(ctx, k, st.deps.Now())
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Connection{}, nil
	}
	return c, err
}

// decrypt opens a connection, as far as it has anything to be used.
func (st *site) decrypt(s *config.Server, c storage.Connection) (*cachedConnection, secrets, error) {
	if c.State != storage.Active && c.State != storage.InDoubt {
		return newCachedConnection(s, c), secrets{}, nil
	}
	opened, err := st.openConnection(c)
	if err != nil {
		return nil, secrets{}, err
	}
	return cacheConnection(s, c, opened), opened, nil
}

// openConnection opens the secrets of a connection. That it fails means that
// somebody changed the record or put it in another's place, or that its key
// was taken away: an operator has to look.
func (st *site) openConnection(c storage.Connection) (secrets, error) {
	opened, err := st.openSecrets(c)
	if err != nil {
		st.record(context.Background(), c, event.Event{Kind: event.RecordDamaged, Reason: "connection", Err: err})
		return opened, ErrDamaged
	}
	return opened, nil
}

// record records what happened to a connection.
func (st *site) record(ctx context.Context, c storage.Connection, e event.Event) {
	e.Server, e.Connection, e.Provider = c.Server, c.ID, c.Provider
	if e.Person == "" && c.Owner != storage.SharedOwner && !strings.HasPrefix(c.Owner, storage.FlowOwner("")) {
		e.Person = c.Owner
	}
	st.deps.Events.Record(ctx, e)
}

// storeFailed records that the store failed at something that is done again.
func (st *site) storeFailed(ctx context.Context, server, detail string, err error) {
	st.deps.Events.Record(ctx, event.Event{Kind: event.StoreFailed, Server: server, Detail: detail, Err: err})
}

// openSecrets opens what a connection seals. It fails for a record that was
// moved to another place.
func (st *site) openSecrets(c storage.Connection) (secrets, error) {
	var s secrets
	err := st.open(c.Secret, &s, sealed.Connection(c.ConnectionKey, c.ID)...)
	s.IssuedAt = st.fromStore(s.IssuedAt)
	return s, err
}

// sealSecrets seals what belongs to the connection with this key and ID.
func (st *site) sealSecrets(k storage.ConnectionKey, id string, s secrets) []byte {
	s.IssuedAt = st.toStore(s.IssuedAt)
	return st.seal(s, sealed.Connection(k, id)...)
}

// seal writes one of our own records; none of them can fail to be written.
func (st *site) seal(v any, context ...string) []byte {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return st.deps.Keys.Seal(plain, context...)
}

func (st *site) open(box []byte, v any, context ...string) error {
	plain, err := st.deps.Keys.Open(box, context...)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// secrets is what a connection seals: tokens of a provider, or pasted keys.
type secrets struct {
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	// IssuedAt is when the access token came; it is sealed by the store's clock.
	IssuedAt time.Time `json:"issued_at,omitzero"`
	// Binding says who issued the tokens, and to which client.
	Binding binding `json:"link,omitzero"`
	// Epoch is random and new whenever a person connects: in another one there
	// may be another account. Refreshing keeps it.
	Epoch string `json:"made,omitempty"`
	// Person is who connected it in a flow that is still pending.
	Person string `json:"person,omitempty"`
	// Reusable is set if the provider gave no new refresh token for this one
	// when it was last used, so it takes it any number of times.
	Reusable bool `json:"reusable,omitempty"`
	// RefreshParams are those that the provider took at the last refresh.
	RefreshParams client.RefreshParams `json:"refresh_params,omitzero"`
	// Replaces is the ID of the connection that they had when they began, and
	// that this one replaces when the flow ends.
	Replaces string `json:"persons,omitempty"`
	// Account is what the person recognises the account by, as the provider told
	// when they connected; empty if it did not. It is sealed since it is about a
	// person, not because anything could be done with it.
	Account string `json:"account,omitempty"`
	// Label is what the person calls it, if they said.
	Label string `json:"label,omitempty"`
	// Left is set in the queue of revocations alone: if Person has not come back, all
	// of their accounts end.
	Left bool `json:"left,omitempty"`
	// Headers are the pasted keys.
	Headers []CredentialHeader `json:"headers,omitempty"`
}

// binding says where tokens may be sent, as whose and for what. It was found
// before the person left for the provider and stays with the tokens: whatever
// the server says later, they are sent nowhere else. How a request is made (the
// quirks, our profile, the secret of a configured client) is up to the
// configuration that serves; of a server that has left it, a revocation has the
// binding alone.
type binding struct {
	// Origin is of the server that the credentials are for. They go nowhere else.
	Origin string `json:"origin"`
	// Provider is the issuer; where that is not known, the origin of TokenEndpoint.
	Provider           string   `json:"provider"`
	TokenEndpoint      string   `json:"token_endpoint"`
	RevocationEndpoint string   `json:"revocation_endpoint,omitempty"`
	ClientID           string   `json:"client_id"`
	AuthMethod         string   `json:"auth_method"`
	Resource           string   `json:"resource,omitempty"`
	Scopes             []string `json:"scopes,omitempty"` // as requested
}
