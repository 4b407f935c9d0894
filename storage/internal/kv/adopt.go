package kv

import (
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errAdopt = errors.New("storage: what a flow connected goes, once per server, to the subject that submits it")

// checkAdopt refuses connections that nobody approved, or somebody else did.
func checkAdopt(sub storage.Submission) error {
	if sub.Grant == nil {
		if len(sub.Adopt) > 0 {
			return errAdopt
		}
		return nil
	}
	servers := make(map[string]bool, len(sub.Adopt))
	for _, c := range sub.Adopt {
		if c.ID == "" || c.Server == "" || servers[c.Server] || c.Issuer != sub.Issuer || c.Owner != sub.Identity.Subject {
			return errAdopt
		}
		servers[c.Server] = true
	}
	return nil
}

// flowConnections returns what the flow connected, and whether the submission
// knows each of them as it stands.
func flowConnections(r Reader, sub storage.Submission) (of []storage.Connection, known bool, err error) {
	of, err = liveConnections(r, sub.Issuer, storage.FlowOwner(sub.FlowID), sub.Now)
	if err != nil || sub.Grant == nil {
		return of, true, err
	}
	adopted := make(map[string]uint64, len(sub.Adopt))
	for _, c := range sub.Adopt {
		adopted[c.Server] = c.Revision
	}
	for _, c := range of {
		if adopted[c.Server] != c.Revision {
			return of, false, nil
		}
	}
	return of, len(of) == len(adopted), nil
}

// replacesAsSeen reports whether the owner has what each adopted connection
// replaces, and nothing where it replaces nothing.
func replacesAsSeen(r Reader, of []storage.Connection, sub storage.Submission) (bool, error) {
	if sub.Grant == nil {
		return true, nil
	}
	made := make(map[string]string, len(of))
	for _, c := range of {
		made[c.Server] = c.ID
	}
	for _, c := range sub.Adopt {
		old, found, err := liveConnection(r, c.ConnectionKey, sub.Now)
		if err != nil {
			return false, err
		}
		if found && old.ID != c.ID || !found && c.ID != made[c.Server] {
			return false, nil
		}
	}
	return true, nil
}

// adopt removes what the flow connected or was about to, and gives the
// connections that are adopted to their owner.
func adopt(tx Tx, of []storage.Connection, sub storage.Submission) error {
	if err := removePendingStates(tx, ownerPrefix(kindPendingState, sub.Issuer, storage.FlowOwner(sub.FlowID))); err != nil {
		return err
	}
	for _, c := range of {
		if err := removeConnection(tx, connectionKey(c.ConnectionKey), sub.Now); err != nil {
			return err
		}
	}
	for _, c := range sub.Adopt {
		old, _, err := liveConnection(tx, c.ConnectionKey, sub.Now)
		if err != nil {
			return err
		}
		c.Revision = old.Revision + 1
		c.ExpiresAt, c.OnExpiry = time.Time{}, nil // it is nobody's flow's any more
		c.Lease, c.LeaseUntil = "", time.Time{}
		if _, err := replaceConnection(tx, c, sub.Now); err != nil {
			return err
		}
	}
	return nil
}
