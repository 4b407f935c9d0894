package accounts

import (
	"bytes"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// withKeys returns an instance with other keys, the first of which seals. All
// other instances have the one of sevens.
func (v *vaultInstance) withKeys(bytesOfKeys ...byte) *vaultInstance {
	v.t.Helper()
	var keys [][]byte
	for _, b := range bytesOfKeys {
		keys = append(keys, bytes.Repeat([]byte{b}, seal.KeySize))
	}
	ring, err := seal.NewKeyring(keys...)
	if err != nil {
		v.t.Fatal(err)
	}
	other := v.instance()
	other.deps.Keys = ring
	return other
}

// A key can leave the ring after everybody has called with the new one in it.
func TestNewKeySealsOldConnections(t *testing.T) {
	v := newVault(t)
	token := v.connectAs(alice, "notion", withoutRefresh, withoutExpiry)
	v.paste(alice, "key-1")
	both, alone := v.withKeys(8, 7), v.withKeys(8)
	alone.wantCall(alice, "notion", "", ErrDamaged)
	both.wantCall(alice, "notion", token, nil)
	alone.wantCall(alice, "notion", token, nil)
	alone.wantCall(alice, "keyed", "", ErrDamaged)

	// Not while somebody else holds the lease: it would end.
	c := v.record(alice, "keyed")
	now := v.clock.Now()
	if _, verdict, err := v.store.LeaseConnection(t.Context(), c.ConnectionKey, c.Revision, "other", now.Add(leaseTime), now); err != nil || verdict != storage.OK {
		t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
	}
	if _, err := both.Credential(t.Context(), alice, "keyed"); err != nil {
		t.Error(err)
	}
	if v.record(alice, "keyed").Lease == "" {
		t.Error("the lease ended")
	}
}

// So it is with what the gateway is at the providers.
func TestNewKeySealsOldRegistrations(t *testing.T) {
	v := newVault(t)
	both, alone := v.withKeys(8, 7), v.withKeys(8)
	s := v.servers["notion"]
	made := registration{Credentials: client.Credentials{ID: "gateway", Secret: "secret", AuthMethod: oauth.AuthSecretBasic}, RedirectURI: v.profile(s).RedirectURI}
	if err := v.plantClient(t.Context(), s, v.provider.URL, made, v.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	made.Ends = v.clock.Now().Add(time.Hour) // an older version kept it outside
	if r, err := alone.storedClient(t.Context(), s, v.provider.URL); r != nil || err != nil {
		t.Errorf("a registration under a lost key must give way to a new one: %v, %v", r, err)
	}
	for _, at := range []*vaultInstance{both, alone} {
		if r, err := at.storedClient(t.Context(), s, v.provider.URL); err != nil || *r != made {
			t.Errorf("%v, %v", r, err)
		}
	}
	v.clock.Advance(time.Hour)
	if r, err := alone.storedClient(t.Context(), s, v.provider.URL); r != nil || err != nil {
		t.Errorf("it does not expire any more: %v, %v", r, err)
	}
}
