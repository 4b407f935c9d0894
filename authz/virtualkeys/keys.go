package virtualkeys

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Store keeps the keys, and when they were last used.
type Store interface {
	storage.VirtualKeyStore
	PutSiteValue(ctx context.Context, v storage.SiteValue) error
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
}

// Known is what the store was last known to have. It outlives configurations, so
// that a new one can begin while the store is away.
type Known struct {
	mu       sync.Mutex
	byIssuer map[string]inStore
}

// inStore is what the store has of an issuer.
type inStore struct {
	keys   []storage.VirtualKey
	number uint64 // of the last change
}

func (k *Known) get(issuer string) (known inStore, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok = k.byIssuer[issuer]
	return known, ok
}

func (k *Known) put(issuer string, known inStore) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byIssuer == nil {
		k.byIssuer = map[string]inStore{}
	}
	k.byIssuer[issuer] = known
}

// Deps is what the keys of a site need.
type Deps struct {
	// Known is shared by all sites on the store.
	Known       *Known
	Config      *config.Site
	Store       Store
	Withdrawals *grants.Withdrawals
	// Resolve reads keys in files anew.
	Resolve config.Resolver
	Events  *event.Recorder
	Now     func() time.Time
}

// Keys are the virtual keys of one site. They put what is good now into the Keys
// of its configuration.
type Keys struct {
	deps Deps

	ending sync.Mutex // held while something is being ended, which can take long
	mu     sync.Mutex // held by whoever changes anything
	files  []*file    // of the configuration, those that can change among them
	stored inStore
	good   []identity.Key
	uses   map[string]*identity.LastUse // by name
	// unended tells that something may have been withdrawn and not ended yet.
	unended, unendedFiles bool
}

// Open returns the keys of a site, with those that are in the store.
func Open(ctx context.Context, deps Deps) (*Keys, error) {
	k := &Keys{deps: deps, uses: map[string]*identity.LastUse{}, unended: true}
	k.readFirst()
	known, ok := deps.Known.get(deps.Config.Issuer)
	k.stored = known
	if err := k.readStore(ctx); err != nil && !ok {
		return nil, err
	}
	k.publish()
	return k, nil
}

// Refresh makes the keys what they are by now. It is for the configuration that
// serves, and to be called again and again. After a failure nothing that was good
// before is given up, but for keys in the store that nobody could look at for a
// while.
func (k *Keys) Refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.deps.Config.UsesVirtualKeys() {
		return nil
	}
	k.readFiles(ctx)
	err := k.readStore(ctx)
	if err == nil {
		err = k.disableTaken(ctx)
	}
	k.publish()
	return err
}

// readStore reads what is in the store, unless it is known to be the same.
func (k *Keys) readStore(ctx context.Context) error {
	now, issuer := k.deps.Now(), k.deps.Config.Issuer
	number, err := k.deps.Store.LastVirtualKeyChange(ctx, issuer)
	if err == nil && number != k.stored.number {
		var all []storage.VirtualKey
		if all, number, err = k.deps.Store.VirtualKeys(ctx, issuer); err == nil {
			k.stored = inStore{all, number}
		}
	}
	k.deps.Config.Keys.Away(err)
	if err != nil {
		return oauth.Unavailable(err)
	}
	k.deps.Known.put(issuer, k.stored)
	k.deps.Config.Keys.Confirm(now)
	return nil
}

// lookAgain is Refresh for what is in the store alone.
func (k *Keys) lookAgain(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.readStore(ctx)
	k.publish()
	return err
}

// publish makes known which keys are good now.
func (k *Keys) publish() {
	good := k.goodNow()
	if slices.EqualFunc(good, k.good, sameKey) {
		return
	}
	k.good, k.unended = good, true
	k.deps.Config.Keys.Replace(good)
}

// goodNow returns the keys that are good now: of two with one name or hash, the
// one of the configuration.
func (k *Keys) goodNow() []identity.Key {
	var good []identity.Key
	hashes := map[storage.Hash]bool{}
	add := func(key identity.Key) {
		if !hashes[key.Hash] {
			hashes[key.Hash] = true
			key.Use = k.use(key.Name)
			good = append(good, key)
		}
	}
	for _, f := range k.files {
		add(identity.Key{Name: f.key.Name, Hash: f.hash, Servers: f.key.Servers})
	}
	now := k.deps.Now()
	for _, s := range k.stored.keys {
		if k.statusOf(s, now) != Active {
			continue
		}
		servers, _ := k.serversOf(s)
		key := identity.Key{Name: s.Name, Hash: s.Hash, Servers: servers, Stored: true, Withdrawn: s.Withdrawn, ExpiresAt: s.ExpiresAt}
		add(key)
		if s.Former != nil && now.Before(s.FormerUntil) {
			key.Hash, key.ExpiresAt = *s.Former, earlier(s.FormerUntil, s.ExpiresAt)
			add(key)
		}
	}
	return good
}

// serversOf returns the servers that a key in the store is good for, nil for all,
// or false if there is none. One that lists none is good for those that are for
// everybody: a key is in no group, and a server may have got its rules later.
func (k *Keys) serversOf(s storage.VirtualKey) (servers []string, ok bool) {
	all := k.deps.Config.Servers
	forSome := func(server *config.Server) bool { return server.People != nil && !server.People.Keys() }
	if s.Servers != nil || !slices.ContainsFunc(all, forSome) {
		return s.Servers, true
	}
	for _, server := range all {
		if !forSome(server) {
			servers = append(servers, server.ID)
		}
	}
	return servers, servers != nil
}

// earlier returns until if it comes before end, which is zero for never.
func earlier(until, end time.Time) time.Time {
	if end.IsZero() || until.Before(end) {
		return until
	}
	return end
}

func sameKey(a, b identity.Key) bool {
	return a.Name == b.Name && a.Hash == b.Hash && slices.Equal(a.Servers, b.Servers) && a.Stored == b.Stored &&
		a.Withdrawn == b.Withdrawn && a.ExpiresAt.Equal(b.ExpiresAt)
}

// disableTaken disables keys in the store whose names the configuration took
// meanwhile. Without a mark, they would be good again when it gives them up.
func (k *Keys) disableTaken(ctx context.Context) error {
	for _, s := range slices.Clone(k.stored.keys) {
		taken := k.configured(s.Look)
		if taken == "" || s.Disabled {
			continue
		}
		s.Disabled = true
		_, v, err := k.deps.Store.PutVirtualKey(ctx, s)
		if err != nil {
			return oauth.Unavailable(err)
		}
		if v == storage.OK {
			k.record(ctx, s.Name, event.Event{Kind: event.KeyShadowed, Reason: "configured", Err: fmt.Errorf("the configuration has the key %s", taken)})
		}
		if err := k.readStore(ctx); err != nil {
			return err
		}
	}
	return nil
}

// record records what happened to a key.
func (k *Keys) record(ctx context.Context, name string, e event.Event) {
	e.Person, e.Identity = (&identity.Key{Name: name}).Identity().Subject, string(identity.VirtualKey)
	k.deps.Events.Record(ctx, e)
}

// IsConfigured reports whether the configuration has a key of the name.
func (k *Keys) IsConfigured(name string) bool { return k.configured(spelling.Fold(name)) == name }

// configured returns the name of the configuration that has the look, or "".
func (k *Keys) configured(look string) string {
	for _, f := range k.files {
		if f.look == look {
			return f.key.Name
		}
	}
	return ""
}

// End ends what rested on what was withdrawn and not ended yet. After a failure it
// can be called again. Like Refresh it is for the configuration that serves.
func (k *Keys) End(ctx context.Context) error {
	k.ending.Lock()
	defer k.ending.Unlock()
	k.mu.Lock()
	files, stored := k.unendedFiles, k.unended
	k.unendedFiles, k.unended = false, false
	k.mu.Unlock()
	var err error
	if files {
		err = k.deps.Withdrawals.EndChanged(ctx)
	}
	if err == nil && stored {
		files, err = false, k.deps.Withdrawals.EndKeys(ctx, k.lookAgain)
	}
	if err != nil { // again, what was not done
		k.mu.Lock()
		k.unendedFiles, k.unended = k.unendedFiles || files, k.unended || stored
		k.mu.Unlock()
	}
	return err
}
