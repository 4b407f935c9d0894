package server

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectedAccounts is what people connected, as the authorization server sees it.
type connectedAccounts struct {
	store   storage.Store
	ts      *testServer
	fail    error
	asked   int
	adopted []storage.ConnectionReplacement
	// stale changes a connection after it was read.
	stale bool
}

func (c *connectedAccounts) Adopt(ctx context.Context, flowID, owner string) ([]storage.ConnectionReplacement, error) {
	c.asked++
	if c.fail != nil {
		return nil, c.fail
	}
	made, err := c.store.ConnectionsOf(ctx, testIssuer, storage.FlowOwner(flowID), c.ts.clock.Now())
	if c.stale {
		if _, _, err := c.store.PutConnection(ctx, made[0], c.ts.clock.Now()); err != nil {
			return nil, err
		}
	}
	var adopted []storage.ConnectionReplacement
	for _, one := range made {
		one.Owner = owner
		adopted = append(adopted, storage.ConnectionReplacement{Connection: one})
	}
	return adopted, err
}

func (c *connectedAccounts) Connected(context.Context, string) ([]string, error) { return nil, nil }

func (c *connectedAccounts) Adopted(connections []storage.ConnectionReplacement) {
	c.adopted = connections
}

// connecting returns a server with a flow in which the person connected notion.
func connecting(t *testing.T) (*testServer, *connectedAccounts, *flows.Flow) {
	ts := newTestServer(t)
	c := &connectedAccounts{store: ts.store.Store, ts: ts}
	ts.replace(func(d *Deps) { d.Connections = c })
	f := ts.identified(request(), alice)
	connection := storage.Connection{
		ConnectionKey: storage.ConnectionKey{Issuer: testIssuer, Owner: storage.FlowOwner(f.ID), Server: "notion"},
		ID:            "c-1", State: storage.Active, ExpiresAt: f.ExpiresAt,
	}
	if _, verdict, err := c.store.PutConnection(t.Context(), connection, ts.clock.Now()); err != nil || verdict != storage.OK {
		t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
	}
	return ts, c, f
}

func (ts *testServer) connectionOf(owner string) error {
	_, err := ts.store.Connection(ts.t.Context(), storage.ConnectionKey{Issuer: testIssuer, Owner: owner, Server: "notion"}, ts.clock.Now())
	return err
}

func TestFlowConnections(t *testing.T) {
	t.Run("become the person's", func(t *testing.T) {
		ts, c, f := connecting(t)
		if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); err != nil {
			t.Fatal(err)
		}
		if err := ts.connectionOf(alice.Subject); err != nil {
			t.Error(err)
		}
		if err := ts.connectionOf(storage.FlowOwner(f.ID)); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
		if len(c.adopted) != 1 || c.adopted[0].ID != "c-1" {
			t.Errorf("told of %v", c.adopted)
		}
	})
	t.Run("are gone with a refusal", func(t *testing.T) {
		ts, c, f := connecting(t)
		if _, err := ts.as.Flows.Deny(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		for _, owner := range []string{alice.Subject, storage.FlowOwner(f.ID)} {
			if err := ts.connectionOf(owner); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", owner, err)
			}
		}
		if c.asked != 0 || c.adopted != nil {
			t.Error("a refusal adopts nothing")
		}
	})
	t.Run("changed since the person looked", func(t *testing.T) {
		ts, c, f := connecting(t)
		c.stale = true
		if target, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); !errors.Is(err, flows.ErrChanged) || target != "" {
			t.Errorf("%q, %v", target, err)
		}
		if c.adopted != nil {
			t.Error("told of what was not committed")
		}
		c.stale = false
		if _, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("cannot be read", func(t *testing.T) {
		ts, c, f := connecting(t)
		c.fail = errDisk
		_, err := ts.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{notionResource}})
		wantStatus(t, err, http.StatusServiceUnavailable)
		if err := ts.connectionOf(alice.Subject); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
	})
}
