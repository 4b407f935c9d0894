package model

import (
	"maps"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// adoption is what a person saw that they connected in a flow, for its owner.
func (w *World) adoption(flowID, owner string) (all []storage.Connection) {
	for _, k := range sortedKeys(w.connections) {
		if k.Owner != storage.FlowOwner(flowID) {
			continue
		}
		c := w.connections[k]
		c.Owner, c.Secret, c.ExpiresAt, c.OnExpiry = owner, []byte(w.fresh("secret-")), time.Time{}, nil
		if old, has := w.connections[c.ConnectionKey]; has {
			c.ID = old.ID
		}
		all = append(all, c)
	}
	return all
}

// ofFlow returns the keys of what a flow connected.
func (s *state) ofFlow(id string, now time.Time) (keys []storage.ConnectionKey) {
	for k := range s.connections {
		if _, live := s.liveConnection(k, now); live && k.Owner == storage.FlowOwner(id) {
			keys = append(keys, k)
		}
	}
	return keys
}

// adoptsAsSeen reports whether a submission knows what was connected, and what that
// replaces.
func (s *state) adoptsAsSeen(sub submission, now time.Time) bool {
	made := s.ofFlow(sub.id, now)
	if len(made) != len(sub.adopt) {
		return false
	}
	for _, k := range made {
		of, known := s.connections[k], false
		for _, c := range sub.adopt {
			if c.Server != k.Server {
				continue
			}
			known = of.revision.is(c.Revision)
			old, has := s.liveConnection(c.ConnectionKey, now)
			if has && old.id != c.ID || !has && of.id != c.ID {
				return false
			}
		}
		if !known {
			return false
		}
	}
	return true
}

// adopt removes what a flow connected, or gives it to its owner.
func (s *state) adopt(sub submission, now time.Time) {
	maps.DeleteFunc(s.pending, func(_ string, p connectState) bool { return p.key.Owner == storage.FlowOwner(sub.id) })
	for _, k := range s.ofFlow(sub.id, now) {
		s.removeConnection(k, now)
	}
	for _, c := range sub.adopt {
		old, live := s.liveConnection(c.ConnectionKey, now)
		if !live {
			old = connection{}
		}
		s.removeConnection(c.ConnectionKey, now)
		s.connections[c.ConnectionKey] = connection{id: c.ID, secret: string(c.Secret), state: c.State, revision: old.revision.next(), retries: c.Retries}
	}
}
