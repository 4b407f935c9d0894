package pgstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// submission is a submission with what is locked and read for it.
type submission struct {
	storage.Submission
	flow    owned
	known   holds
	made    [][]byte // connected in the flow
	owned   []*connected
	client  []byte
	browser *browser
	clients *queue // that the client enters, or nil
	grants  *queue // that the grant enters, or nil
}

// SubmitFlow implements storage.AuthStore.
func (s *authStore) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	if err := sub.Check(); err != nil {
		return storage.Unknown, err
	}
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		in := &submission{Submission: sub}
		lockSubmission(t, in)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		return submit(t, in)
	})
}

// lockSubmission queues the locks of everything that a submission decides by, in
// the order in which all do, and what reads it.
func lockSubmission(t *tx, in *submission) {
	in.known.Authentication = storage.Flow{Identity: in.Identity, Session: in.Session}.KnownBy()
	if in.Begins == nil {
		t.query(one(&in.flow.body), `select body from {}flows where id = $1 for update`, []byte(in.FlowID))
	} else {
		if in.known.Authentication == nil {
			lockApprovals(t, in.Issuer, in.Identity.Subject)
		}
		holdFlow(t, &in.flow.body, in.FlowID)
	}
	lockHolds(t, &in.known)
	// Whoever ends the person may have ended the session, too, while that was waited for.
	if in.Begins == nil {
		t.query(one(&in.flow.person), `select p.body from {}flows f join {}persons p on p.id = f.person where f.id = $1`, []byte(in.FlowID))
	} else {
		t.query(one(&in.flow.person), `select body from {}persons where id = $1`, personOf(in.Issuer, in.Identity))
	}
	if in.Browser != nil {
		in.browser = lookAtBrowser(t, *in.Browser)
	}
	in.owned = make([]*connected, len(in.Adopt))
	for _, i := range inOrder(in.Adopt) {
		in.owned[i] = lockConnection(t, in.Adopt[i].ConnectionKey)
	}
	t.query(many(&in.made), `select body from {}connections where issuer = $1 and owner = $2 order by server for update`,
		record.Digest(in.Issuer), record.Digest(storage.FlowOwner(in.FlowID)))
	if in.Grant == nil {
		return
	}
	if in.Quota != nil {
		in.clients = approvedQueue(t, in, *in.Quota)
		lockQueue(t, in.clients)
		in.grants = grantQueue(t, in)
		lockQueue(t, in.grants)
		look(t, in.grants)
		look(t, in.clients)
	}
	t.query(one(&in.client), `select body from {}clients where id = $1 for update`, []byte(in.Grant.ClientID))
}

// inOrder returns the positions of the connections in the order in which their
// locks are taken.
func inOrder(all []storage.ConnectionReplacement) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(all[a].Server, all[b].Server) })
	return order
}

func submit(t *tx, in *submission) (storage.Verdict, error) {
	if in.Begins != nil {
		v, err := beginWith(t, in)
		if v != storage.OK || err != nil {
			return v, err
		}
	}
	f, found, err := t.filledFlow(in.flow, in.Now)
	switch {
	case err != nil:
		return storage.Unknown, err
	case !found || f.Issuer != in.Issuer:
		return storage.Unknown, nil
	case f.Submitted:
		return storage.Submitted, nil
	case !f.Identity.Same(in.Identity) || f.Session != in.Session:
		return storage.Changed, nil
	}
	if there, err := t.hold(in.known, in.Issuer, in.Now); !there || err != nil {
		return storage.SignedOut, err
	}
	made, err := t.liveConnections(in.made, in.Issuer, storage.FlowOwner(in.FlowID), in.Now)
	if err != nil {
		return storage.Unknown, err
	}
	if in.Grant != nil {
		if seen, err := asSeen(t, in, made); err != nil || !seen {
			return storage.Changed, err
		}
	}
	f.Submitted = true
	if err := putFlow(t, f); err != nil {
		return storage.Unknown, err
	}
	if err := adopt(t, in); err != nil || in.Grant == nil {
		return storage.OK, err
	}
	return storage.OK, approve(t, in)
}

// beginWith saves the flow that begins with its submission.
func beginWith(t *tx, in *submission) (storage.Verdict, error) {
	v, err := replaceFlow(t, in.flow.body, in.known, *in.Begins, in.Now)
	if v != storage.OK || err != nil {
		return v, err
	}
	if err := putFlow(t, *in.Begins); err != nil {
		return storage.Unknown, err
	}
	if in.flow.body, err = encode(t.db, *in.Begins, flowTimes); err != nil || len(in.made) == 0 {
		return storage.OK, err
	}
	t.query(many(&in.made), `select body from {}connections where issuer = $1 and owner = $2 order by server for update`,
		record.Digest(in.Issuer), record.Digest(storage.FlowOwner(in.FlowID))) // somebody else's are gone
	return storage.OK, t.send()
}

// asSeen reports whether the submission knows each connection of the flow as it
// is, and the owner has what each of them replaces, and nothing where it
// replaces nothing.
func asSeen(t *tx, in *submission, made []storage.Connection) (bool, error) {
	ids := make(map[string]string, len(made))
	revisions := make(map[string]uint64, len(made))
	for _, c := range made {
		ids[c.Server], revisions[c.Server] = c.ID, c.Revision
	}
	if len(made) != len(in.Adopt) {
		return false, nil
	}
	for i, c := range in.Adopt {
		if revision, found := revisions[c.Server]; !found || revision != c.Revision {
			return false, nil
		}
		old, found, err := t.liveConnection(in.owned[i].body, c.ConnectionKey, in.Now)
		if err != nil {
			return false, err
		}
		if found && old.ID != c.ID || !found && c.ID != ids[c.Server] {
			return false, nil
		}
	}
	return true, nil
}

// adopt removes what the flow connected or was about to, and gives the
// connections that are adopted to their owner.
func adopt(t *tx, in *submission) error {
	t.exec(`delete from {}connect_states where issuer = $1 and owner = $2`,
		record.Digest(in.Issuer), record.Digest(storage.FlowOwner(in.FlowID)))
	for _, b := range in.made {
		c, _, err := decode(t.db, b, connectionTimes)
		if err != nil {
			return err
		}
		if connectionEnded(c, in.Now) {
			continue // the sweep comes to it
		}
		if err := removeConnection(t, c, in.Now); err != nil {
			return err
		}
	}
	for i, c := range in.Adopt {
		old, _, err := t.liveConnection(in.owned[i].body, c.ConnectionKey, in.Now)
		if err != nil {
			return err
		}
		next := c.Connection
		next.Revision = old.Revision + 1
		next.ExpiresAt, next.OnExpiry = time.Time{}, nil // it is nobody's flow's any more
		next.Lease, next.LeaseUntil = "", time.Time{}
		if err := putConnection(t, in.owned[i].body, next, made, c.Revokes, in.Now); err != nil {
			return err
		}
	}
	return nil
}

// approve stores what a person approved.
func approve(t *tx, in *submission) error {
	if in.Browser != nil {
		if err := createBrowserSession(t, *in.Browser, in.browser, in.Now); err != nil {
			return err
		}
	}
	var p place
	if in.grants != nil {
		p = in.grants.place
	}
	insertGrant(t, *in.Grant, in.Code.Hash, p)
	if err := insertCode(t, *in.Code); err != nil {
		return err
	}
	if err := keepClient(t, in); err != nil || in.grants == nil {
		return err
	}
	return enter(t, in.grants)
}

// keepClient notes that a person approved the client, and keeps its
// registration for as long as the grant can live, and longer if the submission
// says so. Clients that are not registered here (configured ones, metadata
// documents) have nothing to keep.
func keepClient(t *tx, in *submission) error {
	c, err := t.liveClient(in.client, in.Now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || c.Issuer != in.Grant.Issuer {
		return err
	}
	c.ExpiresAt = latest(c.ExpiresAt, in.Grant.AbsoluteExpiresAt.Add(in.KeepClient))
	c.Used = c.Used || in.Quota == nil
	if c.Used {
		c.Quota, c.QuotaBlock, c.ApprovedAt = nil, nil, time.Time{}
		return updateClient(t, c)
	}
	if c.Quota == nil {
		c.Quota, c.QuotaBlock = &in.Quota.Key, &in.Quota.Block
	}
	c.ApprovedAt = in.Now
	q := in.clients
	if p := clientPlace(c); string(p.sender) != string(q.sender) { // it waits where it was approved first
		q = approvedQueue(t, in, storage.Quota{Key: *c.Quota, Block: *c.QuotaBlock, Max: in.Quota.Max, MaxBlock: in.Quota.MaxBlock})
		lockQueue(t, q)
		look(t, q)
		if err := t.send(); err != nil {
			return err
		}
	}
	if err := updateClient(t, c); err != nil {
		return err
	}
	return enter(t, q)
}

// approvedQueue is the queue of the clients that count towards a quota.
func approvedQueue(t *tx, in *submission, of storage.Quota) *queue {
	q := clientQueue(t, storage.Client{
		ID: in.Grant.ClientID, Issuer: in.Grant.Issuer, Quota: &of.Key, QuotaBlock: &of.Block, ApprovedAt: in.Now,
	})
	q.ofSender, q.ofGroup = of.Max, of.MaxBlock
	return q
}

// grantQueue is the queue of the grants of a person who proved nothing: a
// script can make as many as it likes.
func grantQueue(t *tx, in *submission) *queue {
	g := in.Grant
	return &queue{
		table: "grants", id: []byte(g.ID),
		place: place{
			sender: record.Digest("grants", g.Issuer, string(in.Quota.Key[:])),
			group:  record.Digest("grants of a block", g.Issuer, string(in.Quota.Block[:])),
			at:     g.CreatedAt,
		},
		ofSender: in.Quota.Max, ofGroup: in.Quota.MaxBlock,
		spare: spareGrants(t, in.Now), drop: dropGrant(t),
	}
}
