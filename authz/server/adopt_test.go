package server

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// labConnections is what people connected, as the authorization server sees it.
type labConnections struct {
	store   storage.Store
	l       *lab
	fail    error
	asked   int
	adopted []storage.ConnectionReplacement
	// stale changes a connection after it was read.
	stale bool
}

func (c *labConnections) Adopt(ctx context.Context, flowID, owner string) ([]storage.ConnectionReplacement, error) {
	c.asked++
	if c.fail != nil {
		return nil, c.fail
	}
	made, err := c.store.ConnectionsOf(ctx, labIssuer, storage.FlowOwner(flowID), c.l.time())
	if c.stale {
		if _, _, err := c.store.PutConnection(ctx, made[0], c.l.time()); err != nil {
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

func (c *labConnections) Adopted(connections []storage.ConnectionReplacement) {
	c.adopted = connections
}

// connecting returns a lab with a flow in which the person connected notion.
func connecting(t *testing.T) (*lab, *labConnections, *flows.Flow) {
	l := newLab(t)
	c := &labConnections{store: l.store.Store, l: l}
	l.replace(func(d *Deps) { d.Connections = c })
	f := l.identified(request(), alice)
	connection := storage.Connection{
		ConnectionKey: storage.ConnectionKey{Issuer: labIssuer, Owner: storage.FlowOwner(f.ID), Server: "notion"},
		ID:            "c-1", State: storage.Active, ExpiresAt: f.ExpiresAt,
	}
	if _, verdict, err := c.store.PutConnection(t.Context(), connection, l.time()); err != nil || verdict != storage.OK {
		t.Fatal(verdict, err)
	}
	return l, c, f
}

func (l *lab) connectionOf(owner string) error {
	_, err := l.store.Connection(l.t.Context(), storage.ConnectionKey{Issuer: labIssuer, Owner: owner, Server: "notion"}, l.time())
	return err
}

func TestFlowConnections(t *testing.T) {
	t.Run("become the person's", func(t *testing.T) {
		l, c, f := connecting(t)
		if _, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}}); err != nil {
			t.Fatal(err)
		}
		if err := l.connectionOf(alice.Subject); err != nil {
			t.Error(err)
		}
		if err := l.connectionOf(storage.FlowOwner(f.ID)); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
		if len(c.adopted) != 1 || c.adopted[0].ID != "c-1" {
			t.Errorf("told of %v", c.adopted)
		}
	})
	t.Run("are gone with a refusal", func(t *testing.T) {
		l, c, f := connecting(t)
		if _, err := l.as.Flows.Deny(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		for _, owner := range []string{alice.Subject, storage.FlowOwner(f.ID)} {
			if err := l.connectionOf(owner); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", owner, err)
			}
		}
		if c.asked != 0 || c.adopted != nil {
			t.Error("a refusal adopts nothing")
		}
	})
	t.Run("changed since the person looked", func(t *testing.T) {
		l, c, f := connecting(t)
		c.stale = true
		if target, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}}); !errors.Is(err, flows.ErrChanged) || target != "" {
			t.Errorf("%q, %v", target, err)
		}
		if c.adopted != nil {
			t.Error("told of what was not committed")
		}
		c.stale = false
		if _, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("cannot be read", func(t *testing.T) {
		l, c, f := connecting(t)
		c.fail = errDisk
		_, err := l.as.Flows.Approve(t.Context(), f, flows.Approval{Resources: []string{labNotion}})
		wantStatus(t, err, http.StatusServiceUnavailable)
		if err := l.connectionOf(alice.Subject); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
	})
}
