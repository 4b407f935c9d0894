package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// letIns are grants of several people to several clients, made one after the other.
type letIns struct {
	t *testing.T
	*engine
	storage.Store
	now  time.Time
	read int // how many grants were read
}

const ofGrants, ofSubjects = "g", "m" // what their keys begin with

func newLetIns(t *testing.T) *letIns {
	l := &letIns{t: t, engine: newEngine(), now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	l.Store = kv.New(l)
	return l
}

// View counts what is read of grants.
func (l *letIns) View(ctx context.Context, fn func(kv.Reader) error) error {
	return l.engine.View(ctx, func(r kv.Reader) error { return fn(readCounter{r, &l.read}) })
}

func (l *letIns) Update(ctx context.Context, fn func(kv.Tx) error) error {
	return l.engine.Update(ctx, fn)
}

func (l *letIns) Close() error { return l.engine.Close() }

type readCounter struct {
	kv.Reader
	read *int
}

func (c readCounter) Get(key []byte) []byte {
	if strings.HasPrefix(string(key), ofGrants) {
		*c.read++
	}
	return c.Reader.Get(key)
}

func (l *letIns) letIn(id, subject, client string) {
	l.t.Helper()
	l.now = l.now.Add(time.Second)
	who := storage.Identity{Kind: "user_id", Subject: subject}
	_, err := l.SaveFlow(l.t.Context(), storage.Flow{ID: id, Issuer: "i", Identity: who, ExpiresAt: l.now.Add(time.Hour)}, l.now)
	v, submitted := l.SubmitFlow(l.t.Context(), storage.Submission{
		FlowID: id, Issuer: "i", Identity: who, Now: l.now,
		Grant: &storage.Grant{
			ID: id, Issuer: "i", ClientID: client, Identity: who, CreatedAt: l.now, ExpiresAt: l.now.Add(time.Hour), AbsoluteExpiresAt: l.now.Add(time.Hour),
		},
		Code: &storage.Code{Hash: storage.HashOf(id), GrantID: id, ExpiresAt: l.now.Add(time.Minute)},
	})
	if err := errors.Join(err, submitted); err != nil || v != storage.OK {
		l.t.Fatal(v, err)
	}
}

// last checks the last grant, and returns how many were read for it.
func (l *letIns) last(subject, client, want string) (read int) {
	l.t.Helper()
	l.read = 0
	g, err := l.LastGrant(l.t.Context(), "i", subject, client, l.now)
	if got := g.ID; got != want || (want == "") != errors.Is(err, storage.ErrNotFound) || want != "" && err != nil {
		l.t.Errorf("the last of %s and %s is %q, %v, want %q", subject, client, got, err, want)
	}
	return l.read
}

// change replaces what the entries of the index tell.
func (l *letIns) change(hints func([][]byte) [][]byte) {
	l.t.Helper()
	err := l.Update(l.t.Context(), func(tx kv.Tx) error {
		var keys, was [][]byte
		for key, value := range tx.Scan([]byte(ofSubjects)) {
			if strings.HasPrefix(string(key), ofSubjects) {
				_, hint, err := record.Open(value)
				if err != nil {
					return err
				}
				keys, was = append(keys, bytes.Clone(key)), append(was, bytes.Clone(hint))
			}
		}
		for i, hint := range hints(was) {
			if err := tx.Put(keys[i], append(record.New(record.Forever, len(hint)), hint...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *letIns) faults() (all []string) {
	l.t.Helper()
	err := l.View(l.t.Context(), func(r kv.Reader) error {
		kv.CheckRecords(r, &kv.Checks{Now: l.now, Fault: func(what string) { all = append(all, what) }})
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// Of however many grants, the last one is read alone, and no more than those that are
// newer and no longer valid besides.
func TestLastGrantReadsFew(t *testing.T) {
	l := newLetIns(t)
	for n := range 900 {
		l.letIn(fmt.Sprintf("%d of %d", n, n*7919%1000), "alice", fmt.Sprint("client ", n%3))
	}
	last := fmt.Sprintf("%d of %d", 898, 898*7919%1000)
	if read := l.last("alice", "client 1", last); read != 1 {
		t.Errorf("%d grants were read for one", read)
	}
	if read := l.last("alice", "another", ""); read != 0 {
		t.Errorf("%d grants were read for none", read)
	}
	_, err := l.ChangeGrant(t.Context(), storage.GrantChange{ID: last, Issuer: "i", Subject: "alice", EndsBy: l.now.Add(1), Now: l.now})
	if err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(1)
	if read := l.last("alice", "client 1", fmt.Sprintf("%d of %d", 895, 895*7919%1000)); read != 2 {
		t.Errorf("%d grants were read where the last one has ended", read)
	}
}

// Entries of a version before tell nothing of their grants, and what somebody wrote into
// the file may be anything.
func TestLastGrantOfOldIndex(t *testing.T) {
	for name, old := range map[string]func(i int, hint []byte) []byte{
		"without any hint":     func(int, []byte) []byte { return nil },
		"with some":            func(i int, hint []byte) []byte { return hint[:len(hint)*(i%2)] },
		"with such as are cut": func(i int, hint []byte) []byte { return hint[:i%len(hint)] },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLetIns(t)
			for n := range 60 {
				l.letIn(fmt.Sprint(n*7%60), []string{"alice", "bob"}[n%2], fmt.Sprint("client ", n%3))
			}
			if faults := l.faults(); len(faults) > 0 {
				t.Fatal(faults)
			}
			l.change(func(hints [][]byte) [][]byte {
				for i, hint := range hints {
					hints[i] = old(i, hint)
				}
				return hints
			})
			l.last("alice", "client 0", fmt.Sprint(54*7%60))
			l.last("alice", "client 1", fmt.Sprint(58*7%60))
			l.last("bob", "client 2", fmt.Sprint(59*7%60))
			l.last("bob", "client 3", "")
		})
	}
}

// What an entry tells is compared with the grant: whoever exchanges them gets nobody
// else's grant, and no other client's.
func TestSwappedHints_K14(t *testing.T) {
	l := newLetIns(t)
	l.letIn("1", "alice", "mail")
	l.letIn("2", "alice", "notes")
	l.change(func(hints [][]byte) [][]byte { slices.Reverse(hints); return hints })
	l.last("alice", "mail", "")
	l.last("alice", "notes", "")
	if faults := l.faults(); len(faults) != 2 || !strings.Contains(faults[0], "tells another time or client than its grant") {
		t.Errorf("a check finds %q", faults)
	}
	l.letIn("3", "bob", "notes")
	l.last("bob", "notes", "3")
	l.change(func(hints [][]byte) [][]byte { // all tell that they are of the one client
		i := slices.IndexFunc(hints, func(hint []byte) bool { return bytes.HasSuffix(hint, record.Digest("notes")) })
		return slices.Repeat(hints[i:i+1], len(hints))
	})
	l.last("alice", "notes", "2")
	l.last("alice", "mail", "")
}
