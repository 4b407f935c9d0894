package accounts

import (
	"bytes"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
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

// sealAnew seals everything with the first key of an instance.
func (v *vaultInstance) sealAnew() {
	v.t.Helper()
	r := reseal.New(v.store, v.deps.Keys, v.clock.Now)
	for {
		ended, err := r.Turn(v.t.Context())
		if err != nil {
			v.t.Fatal(err)
		}
		if ended {
			return
		}
	}
}

// A key can leave the ring once all is sealed anew, also while somebody refreshes.
func TestNewKeySealsOldConnections(t *testing.T) {
	v := newVault(t)
	token := v.connectAs(alice, "notion", withoutRefresh, withoutExpiry)
	v.paste(alice, "key-1")
	both, alone := v.withKeys(8, 7), v.withKeys(8)
	alone.wantCall(alice, "notion", "", ErrDamaged)
	both.wantCall(alice, "notion", token, nil)
	alone.wantCall(alice, "notion", "", ErrDamaged)

	c := v.record(alice, "keyed")
	now := v.clock.Now()
	leased, verdict, err := v.store.LeaseConnection(t.Context(), c, "other", now.Add(leaseTime), now)
	if err != nil || verdict != storage.OK {
		t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
	}
	both.sealAnew()
	alone.wantCall(alice, "notion", token, nil)
	if _, err := alone.Credential(t.Context(), alice, "keyed"); err != nil {
		t.Error(err)
	}
	if after := v.record(alice, "keyed"); after.Lease != leased.Lease || after.Revision != leased.Revision {
		t.Errorf("the lease is %+v, was %+v", after, leased)
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
		if at == alone {
			both.sealAnew()
		}
		if r, err := at.storedClient(t.Context(), s, v.provider.URL); err != nil || *r != made {
			t.Errorf("%v, %v", r, err)
		}
	}
	v.clock.Advance(time.Hour)
	if r, err := alone.storedClient(t.Context(), s, v.provider.URL); r != nil || err != nil {
		t.Errorf("it does not expire any more: %v, %v", r, err)
	}
}
