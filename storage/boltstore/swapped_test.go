package boltstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// What was put under another's key is damage to whoever reads it, or yields nothing
// without the proof that belongs to it. Access tokens and browser sessions are bound by
// whoever issues them.
func TestSwappedRecords_K14_M02(t *testing.T) {
	ctx, now, issuer := t.Context(), time.Now(), "https://gw.example"
	key := func(who string) storage.ConnectionKey {
		return storage.ConnectionKey{Issuer: issuer, Owner: who, Server: "tracker"}
	}
	fill := func(s *Store) error {
		var all []error
		for _, who := range []string{"a", "b"} {
			id := storage.Identity{Kind: "virtual_key", Subject: who}
			end := now.Add(time.Hour)
			_, _, connected := s.PutConnection(ctx, storage.Connection{ConnectionKey: key(who), ID: who, State: storage.Active, Secret: []byte(who)}, now)
			_, _, person := s.SavePerson(ctx, storage.PersonLogin{Person: storage.Person{Issuer: issuer, Subject: who, ID: who, ExpiresAt: end}}, now)
			_, flow := s.SaveFlow(ctx, storage.Flow{ID: "flow " + who, Issuer: issuer, Identity: id, ExpiresAt: end}, now)
			_, submitted := s.SubmitFlow(ctx, storage.Submission{
				FlowID: "flow " + who, Issuer: issuer, Identity: id, Now: now,
				Grant: &storage.Grant{ID: "grant " + who, Issuer: issuer, ClientID: "c", Identity: id, ExpiresAt: end, AbsoluteExpiresAt: end},
				Code:  &storage.Code{Hash: storage.HashOf("code " + who), GrantID: "grant " + who, Issuer: issuer, ClientID: "c", Challenge: who, ExpiresAt: end},
			})
			_, upstream := s.PutUpstreamClient(ctx, storage.UpstreamClient{Issuer: issuer, Provider: "p", Server: who, Secret: []byte(who)}, nil, now)
			all = append(all, connected, person, flow, submitted, upstream,
				s.CreateClient(ctx, storage.Client{ID: who, Issuer: issuer, Metadata: json.RawMessage(`{}`), ExpiresAt: end}, storage.Unused{}),
				s.PutSiteValue(ctx, storage.SiteValue{Issuer: issuer, Name: who, Text: who}))
		}
		return errors.Join(all...)
	}
	second := func(_ any, err error) error { return err }
	issue := func(name, who string) storage.Issue {
		return storage.Issue{
			GrantExpiresAt: now.Add(time.Hour),
			Access:         storage.AccessToken{Hash: storage.HashOf("access " + name + who), GrantID: "grant " + who, Issuer: issuer, ClientID: "c", ExpiresAt: now.Add(time.Hour)},
			Refresh:        &storage.RefreshToken{Hash: storage.HashOf(name + who), GrantID: "grant " + who, Issuer: issuer, ClientID: "c", ExpiresAt: now.Add(time.Hour)},
		}
	}
	claim := func(s *Store, who string) (storage.Verdict, error) {
		res, err := s.ClaimCode(ctx, storage.CodeClaim{
			Hash: storage.HashOf("code " + who), Issuer: issuer, ClientID: "c", Challenge: who, Now: now, Issue: issue("first ", who),
		})
		return res.Verdict, err
	}
	rotate := func(s *Store, who string) (storage.Verdict, error) {
		res, err := s.RotateRefreshToken(ctx, storage.Rotation{
			Hash: storage.HashOf("first " + who), Issuer: issuer, ClientID: "c", GrantID: "grant " + who, Now: now, Issue: issue("second ", who),
		})
		return res.Verdict, err
	}
	reads := map[string]func(s *Store, who string) error{
		"o": func(s *Store, who string) error { return second(s.Connection(ctx, key(who), now)) },
		"P": func(s *Store, who string) error { return second(s.Person(ctx, issuer, who, now)) },
		"f": func(s *Store, who string) error { return second(s.Flow(ctx, "flow "+who, now)) },
		"g": func(s *Store, who string) error { return second(s.Grant(ctx, "grant "+who, now)) },
		"c": func(s *Store, who string) error { return second(s.Client(ctx, who, now)) },
		"v": func(s *Store, who string) error { return second(s.SiteValue(ctx, issuer, who, now)) },
		"p": func(s *Store, who string) error { return second(s.UpstreamClient(ctx, issuer, "p", who, now)) },
		"k": func(s *Store, who string) error {
			if v, err := claim(s, who); v == storage.OK || err != nil {
				return err
			}
			return record.ErrCorrupt // refused: the verifier is another's
		},
		"r": func(s *Store, who string) error {
			if v, err := rotate(s, who); v == storage.OK {
				return err
			}
			return record.ErrCorrupt // refused: the grant that it proves to belong to is another
		},
	}
	for kind, read := range reads {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			s, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(fill(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			if kind == "r" {
				check(t, path, func(s *Store) {
					for _, who := range []string{"a", "b"} {
						if v, err := claim(s, who); err != nil || v != storage.OK {
							t.Fatal(v, err)
						}
					}
				})
			}
			if kind != "k" && kind != "r" { // which are used once
				check(t, path, func(s *Store) {
					if err := read(s, "a"); err != nil {
						t.Errorf("%v before they were swapped", err)
					}
				})
			}
			swap(t, path, kind)
			check(t, path, func(s *Store) {
				for _, who := range []string{"a", "b"} {
					if err := read(s, who); !errors.Is(err, record.ErrCorrupt) {
						t.Errorf("%s: %v after they were swapped, want %v", who, err, record.ErrCorrupt)
					}
				}
			})
		})
	}
}

// check opens a file, and closes it.
func check(t *testing.T, path string, do func(*Store)) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	do(s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// swap exchanges the two records of a kind.
func swap(t *testing.T, path, kind string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(kind))
		if b == nil {
			return errors.New("there is no such bucket")
		}
		var keys, values [][]byte
		err := b.ForEach(func(k, v []byte) error {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
			return nil
		})
		if err == nil && len(keys) != 2 {
			err = errors.New("there are not two records")
		}
		if err != nil {
			return err
		}
		return errors.Join(b.Put(keys[0], values[1]), b.Put(keys[1], values[0]))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
