package consent

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

// commits returns how many transactions a bbolt file has seen. It looks at a
// copy: the store has the file itself locked.
func commits(t *testing.T, path string) int {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(seen, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(seen, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	n := 0
	if err := db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Each request of a sign-in waits for the disk once at most, also where people
// connect their own accounts, and one that only shows something does not. Coming
// back from a provider is the exception: that the state was used up is on disk
// before its code is sent, and the account before anybody is told.
func TestWalkCommitsOncePerRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := newWalkOn(t, store, upstreams(newProvider(t))...)
	b := w.browser()
	before := commits(t, path)
	step := func(name string, want int) {
		t.Helper()
		now := commits(t, path)
		if now-before != want {
			t.Errorf("%s: %d commits, want %d", name, now-before, want)
		}
		before = now
	}
	link := b.start()
	step("authorize", 0)
	page := b.open(link)
	step("identity page", 0)
	identified := b.press(page, userIDPath, url.Values{"user_id": {"alice"}})
	step("identity", 1)
	page = b.follow(identified)
	step("services page", 0)
	back := agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")
	step("connect", 1)
	answered := b.open(back)
	step("callback", 2)
	page = b.follow(answered)
	step("services page again", 0)
	answer(t, b.press(page, submitPath, approveBoth))
	step("submit", 1)

	page = b.remembered("alice")
	step("services page of whoever is known", 0)
	answer(t, b.press(page, submitPath, approveBoth))
	step("submit by whoever is known", 1)

	page = b.open(accountPath)
	step("account page", 0)
	mustAnswer(t, b.press(page, signOutPath, nil), http.StatusSeeOther)
	step("sign out", 1)
	page = b.open(accountPath)
	mustAnswer(t, b.press(page, accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}), http.StatusSeeOther)
	step("sign in on the account page", 1)
}
