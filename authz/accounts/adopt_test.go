package accounts

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const flow = "flow-1"

var flowOwner = storage.FlowOwner(flow)

// endsIn makes a connection what alice made in a flow that is still pending.
func endsIn(v *vaultInstance, d time.Duration) func(*storage.Connection, *secrets) {
	return func(c *storage.Connection, s *secrets) { c.ExpiresAt, s.Person = v.clock.Now().Add(d), alice }
}

// identify records who the person is that the flow belongs to.
func (v *vaultInstance) identify(owner string) {
	v.t.Helper()
	f := storage.Flow{ID: flow, Issuer: testIssuer, Identity: storage.Identity{Kind: "user_id", Subject: owner}, ExpiresAt: v.clock.Now().Add(time.Hour)}
	if _, err := v.store.SaveFlow(v.t.Context(), f, v.clock.Now()); err != nil {
		v.t.Fatal(err)
	}
}

// submit ends the flow with a grant, as the authorization server does.
func (v *vaultInstance) submit(owner string, adopted []storage.ConnectionReplacement) storage.Verdict {
	v.t.Helper()
	now := v.clock.Now()
	grant := &storage.Grant{
		ID: "grant-" + owner, Issuer: testIssuer, ClientID: "client", Identity: storage.Identity{Kind: "user_id", Subject: owner},
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), AbsoluteExpiresAt: now.Add(time.Hour),
	}
	code := &storage.Code{Hash: storage.HashOf("code"), GrantID: grant.ID, Issuer: testIssuer, ClientID: "client", ExpiresAt: now.Add(time.Hour)}
	verdict, err := v.store.SubmitFlow(v.t.Context(), storage.Submission{
		FlowID: flow, Issuer: testIssuer, Identity: grant.Identity, Grant: grant, Code: code, Adopt: adopted, Now: now,
	})
	if err != nil {
		v.t.Fatal(err)
	}
	if verdict == storage.OK {
		v.Adopted(adopted)
	}
	return verdict
}

func (v *vaultInstance) adopt(owner string) []storage.ConnectionReplacement {
	v.t.Helper()
	adopted, err := v.Adopt(v.t.Context(), flow, owner)
	if err != nil {
		v.t.Fatal(err)
	}
	return adopted
}

// wantAdopted checks that a call of the owner carries a token that was made in the flow.
func (v *vaultInstance) wantAdopted(owner, server, token string) {
	v.t.Helper()
	c, err := v.Credential(v.t.Context(), owner, server)
	if err != nil || c.Headers[0].Value != "Bearer "+token {
		v.t.Errorf("%v, %v", c, err)
	}
}

// endsInsteadOfAdopting checks that the flow's connection ends, that the person
// has to look once more, and what their calls carry in the end.
func (v *vaultInstance) endsInsteadOfAdopting(token string, err error) {
	v.t.Helper()
	if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.Changed {
		v.t.Error("the person does not see what became of it:", verdict)
	}
	v.wantCall(flowOwner, "notion", "", ErrNotConnected)
	if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
		v.t.Error("the flow cannot be ended:", verdict)
	}
	v.wantCall(alice, "notion", token, err)
}

func TestAdopt(t *testing.T) {
	t.Run("new", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		notion := v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		github := v.connectAs(flowOwner, "github", endsIn(v, time.Hour))
		if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
			t.Fatal(verdict)
		}
		v.wantAdopted(alice, "notion", notion)
		v.wantAdopted(alice, "github", github)
		v.wantCall(flowOwner, "notion", "", ErrNotConnected)
		if c := v.record(alice, "notion"); !c.ExpiresAt.IsZero() || c.State != storage.Active {
			t.Errorf("%+v", c)
		}
	})
	t.Run("in place of another", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		old := v.connectAs(alice, "notion")
		v.wantCall(alice, "notion", old, nil)
		id, since := v.record(alice, "notion").ID, v.record(alice, "notion").CreatedAt
		v.clock.Advance(time.Minute)
		token := v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		v.wantCall(alice, "notion", old, nil)
		if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
			t.Fatal(verdict)
		}
		v.wantAdopted(alice, "notion", token) // at once, though the old one was remembered
		if c := v.record(alice, "notion"); c.ID != id || !c.CreatedAt.Equal(since) {
			t.Errorf("the connection has another handle")
		}
	})
	t.Run("not after another was disconnected", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		v.connectAs(alice, "notion", withoutRevocation)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		adopted := v.adopt(alice)
		v.disconnect(alice, "notion")
		if verdict := v.submit(alice, adopted); verdict != storage.Changed {
			t.Fatal(verdict)
		}
		v.endsInsteadOfAdopting("", ErrNotConnected)
	})
	t.Run("not in place of one that was made meanwhile", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		adopted := v.adopt(alice)
		own := v.connectAs(alice, "notion")
		if verdict := v.submit(alice, adopted); verdict != storage.Changed {
			t.Fatal(verdict)
		}
		v.endsInsteadOfAdopting(own, nil)
	})
	t.Run("not what came after the page", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		adopted := v.adopt(alice)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		if verdict := v.submit(alice, adopted); verdict != storage.Changed {
			t.Error(verdict)
		}
		v.wantCall(alice, "notion", "", ErrNotConnected)
	})
	// Alice came back from the provider after the flow had become Bob's.
	t.Run("not what somebody else connected", func(t *testing.T) {
		v := newVault(t)
		v.identify(bob)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		adopted := v.adopt(bob)
		if len(adopted) != 0 {
			t.Errorf("adopts %+v", adopted)
		}
		if verdict := v.submit(bob, adopted); verdict != storage.OK {
			t.Error(verdict)
		}
		v.wantCall(bob, "notion", "", ErrNotConnected)
		v.wantCall(flowOwner, "notion", "", ErrNotConnected)
	})
	t.Run("nothing", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(storage.FlowOwner("flow-2"), "notion", endsIn(v, time.Hour))
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
		v.clock.Advance(time.Minute)
		if adopted := v.adopt(alice); len(adopted) != 0 {
			t.Errorf("%d connections", len(adopted))
		}
	})
	t.Run("not what was put there", func(t *testing.T) { // K14
		v := newVault(t)
		v.connectAs(bob, "notion")
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		c := v.record(flowOwner, "notion")
		c.Secret = v.record(bob, "notion").Secret
		v.tamper(c)
		if adopted, err := v.Adopt(t.Context(), flow, alice); !errors.Is(err, ErrDamaged) || adopted != nil {
			t.Errorf("%v, %v", adopted, err)
		}
	})
}
