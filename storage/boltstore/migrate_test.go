package boltstore

import (
	"os"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

// M08: a file that the last version with schema 2 wrote has everything it had, and is
// kept as it was.
func TestMigrateSchema2_M08(t *testing.T) {
	s := openOld(t, "5ea99d6")
	if m := s.Migrated; m == nil || m.From != 2 || m.To != schema || m.Copy != s.path+".schema-2" {
		t.Fatalf("migrated %+v", m)
	}
	ring := someRing(t, 1)
	for _, site := range []string{oldIssuer, "https://other.example.com"} {
		all, err := s.UpstreamClients(t.Context(), site, oldNow)
		if err != nil || len(all) != 3 {
			t.Fatalf("%s: %d registrations, %v", site, len(all), err)
		}
		for _, c := range all {
			plain, err := ring.Open(c.Secret, sealed.UpstreamClient(c.Issuer, c.Provider, c.Server)...)
			if err != nil || string(plain) != "client of "+site+c.Server {
				t.Errorf("%s %s: %q, %v", site, c.Server, plain, err)
			}
			if one, err := s.UpstreamClient(t.Context(), site, c.Provider, c.Server, oldNow); err != nil || one.Issuer != site {
				t.Errorf("%s %s: %+v, %v", site, c.Server, one, err)
			}
		}
	}
	closed(t, s)
	r, err := CheckFile(t.Context(), s.path, Checker{Keys: ring, Now: oldNow})
	if err != nil || !r.Sound() || r.Records["registration"] != 6 || r.Sealed[ring.IDs()[0]] != 18 || r.Unopened != 0 {
		t.Errorf("%v: %+v", err, r)
	}
	// The copy is of the version before, which a program of that opens.
	if _, err := CheckFile(t.Context(), s.path+".schema-2", Checker{Now: oldNow}); err == nil || !strings.Contains(err.Error(), "it has schema 2") {
		t.Errorf("the copy: %v", err)
	}
	again := openStore(t, s.path)
	if again.Migrated != nil {
		t.Errorf("migrated again: %+v", again.Migrated)
	}
}

// Where the file cannot be kept as it was, it stays so.
func TestMigrateWithoutCopy(t *testing.T) {
	s := openOld(t, "5ea99d6")
	closed(t, s)
	if err := os.Rename(s.path+".schema-2", s.path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.path+".schema-2/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	before := read(t, s.path)
	_, err := Open(s.path, Options{})
	if err == nil || !strings.Contains(err.Error(), "cannot be copied before it is migrated") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("opened: %v", err)
	}
	if string(read(t, s.path)) != string(before) {
		t.Error("the file was changed")
	}
	if err := os.RemoveAll(s.path + ".schema-2"); err != nil {
		t.Fatal(err)
	}
	openStore(t, s.path)
}
