package pgstore

import (
	"bytes"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What strangers can make at will waits in a queue of its sender, from which the
// oldest drop out when it is full. Senders may belong to a group that has a
// bound as well: beyond that, the oldest of whoever has most drop out, so that a
// flood displaces itself and nobody else. A queue is the records that name it,
// and counted by an index when one enters: its bound bounds that too.

// maxLook bounds how many records of a queue are looked at to find the one that
// drops out.
const maxLook = 64

// place is where a record waits; none is in no queue.
type place struct {
	sender []byte // a digest
	group  []byte // a digest; nil if the sender is in none
	at     time.Time
}

// queued is a record that may drop out.
type queued struct{ id, sender, body []byte }

// queue is a place that is about to be taken, and what is there already.
type queue struct {
	table string
	id    []byte // of the newcomer
	place
	// bounds of the sender and of its group. 0 or less sets none.
	ofSender, ofGroup int
	// spare reports whether another record had better drop out.
	spare func(queued) bool
	drop  func(queued)

	own, largest         []queued
	countOwn, countGroup int
}

// lockQueue queues the lock of the queue and its group: of those who enter it,
// one is at work at a time.
func lockQueue(t *tx, q *queue) {
	if q.group != nil {
		t.lock(q.group)
	}
	t.lock(q.sender)
}

// look queues what finds out who else is there. The newcomer does not count.
func look(t *tx, q *queue) {
	if q.ofSender > 0 {
		t.query(number(&q.countOwn), `select count(*) from {}`+q.table+` where queue_sender = $1 and id <> $2`, q.sender, q.id)
		t.query(candidates(&q.own), `select id, queue_sender, body from {}`+q.table+`
			where queue_sender = $1 and id <> $2 order by queued_at, id limit $3`, q.sender, q.id, maxLook)
	}
	if q.ofGroup > 0 && q.group != nil {
		t.query(number(&q.countGroup), `select count(*) from {}`+q.table+` where queue_group = $1 and id <> $2`, q.group, q.id)
		lookAtLargest(t, q)
	}
}

// lookAtLargest queues what finds the sender with most records in the group. Of
// several with as many it is the one whose oldest is older than the others'.
func lookAtLargest(t *tx, q *queue) {
	t.query(candidates(&q.largest), `select id, queue_sender, body from {}`+q.table+`
		where id <> $2 and queue_sender = (
			select queue_sender from {}`+q.table+` where queue_group = $1 and id <> $2
				and (select count(*) from {}`+q.table+` where queue_group = $1 and id <> $2) >= $4
			group by queue_sender
			order by count(*) + case when queue_sender = $3 then 1 else 0 end desc, min(queued_at) limit 1)
		order by queued_at, id limit $5`, q.group, q.id, q.sender, q.ofGroup, maxLook)
}

// enter drops what is beyond the bounds, the newcomer counted, which stays even
// if the clock went back.
func enter(t *tx, q *queue) error {
	for ; q.ofSender > 0 && q.countOwn >= q.ofSender && len(q.own) > 0; q.countOwn-- {
		dropped := q.dropFrom(&q.own)
		q.countGroup--
		q.largest = without(q.largest, dropped)
	}
	for first := true; q.ofGroup > 0 && q.countGroup >= q.ofGroup; first = false {
		if !first || len(q.largest) == 0 { // it may be another's turn
			lookAtLargest(t, q)
			if err := t.send(); err != nil || len(q.largest) == 0 {
				return err
			}
		}
		q.dropFrom(&q.largest)
		q.countGroup--
	}
	return nil
}

// dropFrom drops the oldest that is not spared, else the oldest.
func (q *queue) dropFrom(from *[]queued) queued {
	chosen := 0
	for i, candidate := range *from {
		if q.spare == nil || !q.spare(candidate) {
			chosen = i
			break
		}
	}
	dropped := (*from)[chosen]
	*from = without(*from, dropped)
	q.drop(dropped)
	return dropped
}

func without(all []queued, one queued) []queued {
	left := make([]queued, 0, len(all))
	for _, q := range all {
		if !bytes.Equal(q.id, one.id) {
			left = append(left, q)
		}
	}
	return left
}

func candidates(to *[]queued) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*to = nil
		for rows.Next() {
			var q queued
			if err := rows.Scan(&q.id, &q.sender, &q.body); err != nil {
				return err
			}
			*to = append(*to, q)
		}
		return rows.Err()
	}
}

func number(n *int) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := rows.Scan(n); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// left takes note that a record of the same sender leaves before the newcomer
// enters, if it is there.
func (q *queue) left(gone queued) {
	if own := without(q.own, gone); len(own) < len(q.own) {
		q.own = own
		q.countOwn--
		q.countGroup--
	}
	q.largest = without(q.largest, gone)
}

// clientQueue is the queue that a client waits in, without bounds.
func clientQueue(t *tx, c storage.Client) *queue {
	return &queue{
		table: "clients", id: []byte(c.ID), place: clientPlace(c),
		drop: func(q queued) { // unless somebody has just approved it
			t.exec(`delete from {}clients where id = $1 and queue_sender = $2`, q.id, q.sender)
		},
	}
}

func oneNumber(n *uint64) func(pgx.Rows) error {
	*n = 0
	return func(rows pgx.Rows) error {
		for rows.Next() {
			var number int64
			if err := rows.Scan(&number); err != nil {
				return err
			}
			*n = uint64(number)
		}
		return rows.Err()
	}
}

// removeGrant removes a grant of a queue as if it had never been, with its code
// and tokens.
func removeGrant(t *tx, id []byte) {
	t.exec(`select 1 from {}grants where id = $1 for update`, id)
	t.exec(`delete from {}codes where hash in (select code from {}grants where id = $1)`, id)
	t.exec(`delete from {}access_tokens where hash in (select unnest(access_tokens) from {}grants where id = $1)`, id)
	for _, table := range []string{"replays", "refresh_tokens"} {
		t.exec(`delete from {}`+table+` where hash in (
			select r.hash from {}grants g join {}refresh_tokens r on r.hash = g.refresh_token where g.id = $1
			union all
			select r.predecessor from {}grants g join {}refresh_tokens r on r.hash = g.refresh_token where g.id = $1)`, id)
	}
	t.exec(`delete from {}grants where id = $1`, id)
}

// spareGrants spares valid grants, as long as there are others.
func spareGrants(t *tx, now time.Time) func(queued) bool {
	return func(other queued) bool {
		g, found, err := t.grant(other.body)
		return err == nil && grantVerdict(g, found, now) == storage.OK
	}
}

// dropGrant removes grants, and tells others of it.
func dropGrant(t *tx) func(queued) {
	return func(other queued) {
		removeGrant(t, other.id)
		if g, found, err := t.grant(other.body); err == nil && found {
			t.tell(storage.Change{Kind: storage.TokensEnded, Revocation: storage.Revocation{AccessTokens: g.AccessTokens, GrantIDs: []string{g.ID}}})
		}
	}
}
