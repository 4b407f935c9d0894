package server

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestConnectLink_D22_D23(t *testing.T) {
	ts := newTestServer(t)
	link := ts.as.Links.URL(storage.Identity{Subject: "user_id:alice@example.com"}, "notion", "pages.delete")
	ticket, ours := strings.CutPrefix(link, testIssuer+"/oauth/connect/")
	if !ours || strings.ContainsAny(ticket, "/?#%.") {
		t.Fatalf("link = %q", link)
	}
	if again := ts.as.Links.URL(storage.Identity{Subject: "user_id:alice@example.com"}, "notion", "pages.delete"); again == link {
		t.Error("two links are the same")
	}
	got, err := ts.as.Links.Open(ticket)
	if err != nil || !got.IsFor(storage.Identity{Subject: "user_id:alice@example.com"}) || got.IsShared() || got.Server != "notion" || !slices.Equal(got.Scopes, []string{"pages.delete"}) {
		t.Errorf("OpenConnectLink = %+v, %v", got, err)
	}
	ts.clock.Advance(15*time.Minute - time.Second)
	if _, err := ts.as.Links.Open(ticket); err != nil {
		t.Errorf("ended early: %v", err)
	}
	ts.clock.Advance(time.Second)
	if got, err := ts.as.Links.Open(ticket); !errors.Is(err, ErrLinkExpired) || got.Server != "notion" {
		t.Errorf("expired: %+v, %v", got, err)
	}
}

func TestConnectLinkForged(t *testing.T) {
	ts := newTestServer(t)
	ticket := strings.TrimPrefix(ts.as.Links.URL(storage.Identity{Subject: "user_id:alice"}, "notion"), testIssuer+ConnectPath)
	flipped := []byte(ticket)
	flipped[len(flipped)/2] ^= 1
	for name, forged := range map[string]string{
		"empty": "", "text": "ticket", "not base64": "%%%", "cut": ticket[:len(ticket)-4], "flipped": string(flipped),
		"a flow": ts.begin(request()).flowID,
	} {
		t.Run(name, func(t *testing.T) {
			if link, err := ts.as.Links.Open(forged); !errors.Is(err, ErrLinkInvalid) || link != nil {
				t.Errorf("OpenConnectLink = %v, %v", link, err)
			}
		})
	}
	if _, err := ts.as.Flows.Open(ts.begin(request()).get(), ticket); !errors.Is(err, flows.ErrInvalid) {
		t.Errorf("as a flow: %v", err)
	}
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	if _, err := ts.as.Links.Open(ticket); !errors.Is(err, ErrLinkInvalid) {
		t.Errorf("another issuer with the same keys: %v", err)
	}
}

// A link for the connection that everybody shares works once, however it is
// spelled; a person's link proves nothing, and works as long as it is good.
func TestConnectLinkOnce(t *testing.T) {
	ts := newTestServer(t)
	open := func(ticket string) *ConnectLink {
		t.Helper()
		link, err := ts.as.Links.Open(ticket)
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	use := func(link *ConnectLink) {
		t.Helper()
		if _, err := ts.store.UseOnce(t.Context(), link.Once, ts.clock.Now().Add(time.Hour), ts.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	mint := func(subject, server string) string {
		return strings.TrimPrefix(ts.as.Links.URL(storage.Identity{Subject: subject}, server), testIssuer+ConnectPath)
	}
	shared, other := mint(storage.SharedOwner, "notion"), mint(storage.SharedOwner, "notion")
	if err := ts.as.Links.CheckUnused(t.Context(), open(shared)); err != nil {
		t.Errorf("a new link: %v", err)
	}
	use(open(shared))
	if err := ts.as.Links.CheckUnused(t.Context(), open(shared)); !errors.Is(err, ErrLinkUsed) {
		t.Errorf("a used link: %v", err)
	}
	if err := ts.as.Links.CheckUnused(t.Context(), open(other)); err != nil {
		t.Errorf("another link: %v", err)
	}
	for _, respelled := range respellings(shared) {
		if link, err := ts.as.Links.Open(respelled); err == nil && link.Once != open(shared).Once {
			t.Errorf("%q is another link", respelled)
		}
	}

	personal := open(mint("user_id:alice", "notion"))
	use(personal)
	if err := ts.as.Links.CheckUnused(t.Context(), personal); err != nil {
		t.Errorf("a personal link: %v", err)
	}
	ts.store.failing("Used", func() {
		if err := ts.as.Links.CheckUnused(t.Context(), open(other)); !errors.Is(err, errDisk) || errors.Is(err, ErrLinkUsed) {
			t.Errorf("while the store fails: %v", err)
		}
	})
}

// An operator who ends what was started ends the links to it, and no other.
func TestSharedLinkEndsWithADisconnect(t *testing.T) {
	ts := newTestServer(t)
	disconnect := func(k storage.ConnectionKey) {
		t.Helper()
		if _, _, err := ts.store.Disconnect(t.Context(), storage.Connection{ConnectionKey: k}, nil, ts.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	mint := func() *ConnectLink {
		t.Helper()
		url, err := ts.as.Links.SharedURL(t.Context(), "notion")
		if err != nil {
			t.Fatal(err)
		}
		link, err := ts.as.Links.Open(strings.TrimPrefix(url, testIssuer+ConnectPath))
		if err != nil || !link.IsShared() || link.Server != "notion" || len(link.Scopes) != 0 {
			t.Fatalf("%+v, %v", link, err)
		}
		return link
	}
	check := func(what string, link *ConnectLink, want error) {
		t.Helper()
		if err := ts.as.Links.CheckUnused(t.Context(), link); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	shared := storage.ConnectionKey{Issuer: testIssuer, Owner: storage.SharedOwner, Server: "notion"}
	first := mint()
	for _, other := range []storage.ConnectionKey{
		{Issuer: testIssuer, Owner: storage.SharedOwner, Server: "github"}, {Issuer: testIssuer, Owner: "user_id:alice", Server: "notion"},
		{Issuer: "https://other.example", Owner: storage.SharedOwner, Server: "notion"},
	} {
		disconnect(other)
	}
	check("nothing ended", first, nil)
	disconnect(shared)
	second := mint() // in the same instant
	check("made before", first, ErrLinkExpired)
	check("made after", second, nil)
	disconnect(shared)
	check("made after the first", second, ErrLinkExpired)
	third := mint()
	ts.store.failing("LastDisconnect", func() {
		check("while the store fails", third, errDisk)
		if url, err := ts.as.Links.SharedURL(t.Context(), "notion"); !errors.Is(err, errDisk) || url != "" {
			t.Errorf("while the store fails: %q, %v", url, err)
		}
	})
}

// respellings are all texts that differ in the last character, and in line
// breaks, which base64 may ignore.
func respellings(ticket string) []string {
	all := []string{ticket[:1] + "\n" + ticket[1:], ticket + "\r\n"}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		all = append(all, ticket[:len(ticket)-1]+string(c))
	}
	return all
}

// Some clients cut the text that a link is in.
func TestConnectLinkIsShort(t *testing.T) {
	ts := newTestServer(t)
	for _, server := range []string{"a", "notion", "google-calendar-staging", strings.Repeat("s", 300)} {
		id := storage.Identity{Kind: "virtual_key", Subject: "virtual_key:" + strings.Repeat("x", 200), Proof: "01234567"}
		ticket := strings.TrimPrefix(ts.as.Links.URL(id, server), testIssuer+ConnectPath)
		if limit := 95 + len(server)*4/3; len(ticket) > limit {
			t.Errorf("%s: %d characters, want at most %d", server, len(ticket), limit)
		}
		link, err := ts.as.Links.Open(ticket)
		if err != nil || link.Server != server || len(link.Scopes) != 0 {
			t.Fatalf("%+v, %v", link, err)
		}
		for _, other := range []storage.Identity{
			{}, {Subject: id.Subject}, {Subject: id.Subject, Proof: "01234568"}, {Subject: id.Subject + "0", Proof: "1234567"}, {Subject: storage.SharedOwner},
		} {
			if link.IsFor(other) {
				t.Errorf("it is for %+v too", other)
			}
		}
		if !link.IsFor(id) || link.IsShared() {
			t.Error("it is not for whom it was made")
		}
	}
	for _, short := range []string{"", "1234", strings.Repeat("\x00", 16), strings.Repeat("\x00", 16) + "\x05abcd"} {
		if _, err := unpackConnectLink([]byte(short)); !errors.Is(err, ErrLinkInvalid) {
			t.Errorf("%q: %v, want ErrLinkInvalid", short, err)
		}
	}
}
