package integration_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const wrongKey = "search-key-of-nobody-0123456789"

// keyed is a gateway in front of an MCP server that wants an API key of each
// person.
type keyed struct {
	*harness.Gateway
	server *harness.Keyed
}

// holder is a person with keys for that server, and their browser.
type holder struct {
	harness.Person
	// user is what the gateway calls them towards upstreams.
	user string
	// key is for account. otherKey is for another account of theirs.
	account, key           string
	otherAccount, otherKey string
	browser                *harness.Browser
}

// holders returns three people who have never been here.
func holders(t *testing.T) []*holder {
	named := func(person harness.Person, user, name string) *holder {
		return &holder{
			Person: person, user: user, browser: harness.NewBrowser(t),
			account: name, key: "search-key-of-" + name + "-0123456789",
			otherAccount: name + " at work", otherKey: "search-key-of-" + name + "-at-work-0123456789",
		}
	}
	return []*holder{
		named(alice, "virtual_key:alice", harness.Ada),
		named(bob, "virtual_key:bob", harness.Bea),
		named(harness.Person{UserID: "cem"}, "user_id:cem", harness.Cyd),
	}
}

// runKeyed starts server and gateway. When the test has ended, the server must
// have seen people's own keys only.
func runKeyed(t *testing.T, directives string, option func(*harness.Keyed) string) *keyed {
	t.Helper()
	accounts := map[string]string{}
	for _, h := range holders(t) {
		accounts[h.key], accounts[h.otherKey] = h.account, h.otherAccount
	}
	server := harness.ServeKeyed(t, accounts)
	w := &keyed{server: server, Gateway: harness.Run(t, harness.Config{
		Directives: identities + directives + "\nserver search /search " + server.URL + ` {
			title Search
			auth per_user_headers {
				header X-API-Key "" "Search API key"
				` + option(server) + `
			}
			identity_header X-MCP-User identity
		}`,
		Env: keys,
	})}
	t.Cleanup(func() { w.check(t) })
	return w
}

func noOption(*harness.Keyed) string { return "" }

// check fails the test if a call ever came with another key than one of the
// person who made it. What comes for nobody is the gateway, trying a key.
func (w *keyed) check(t *testing.T) {
	t.Helper()
	calls := 0
	for _, seen := range w.server.Seen() {
		user := seen.Header.Get("X-MCP-User")
		if user == "" {
			continue
		}
		calls++
		if !slices.ContainsFunc(holders(t), func(h *holder) bool {
			return h.user == user && (h.key == seen.Token || h.otherKey == seen.Token)
		}) {
			t.Errorf("the server saw the key %q on a %s for %q", seen.Token, seen.Method, user)
		}
	}
	t.Logf("%d requests, %d of them calls", len(w.server.Seen()), calls)
}

// mustHaveKept fails the test unless exactly these accounts are connected.
func (w *keyed) mustHaveKept(t *testing.T, statusOf map[string]string) {
	t.Helper()
	kept := w.Connections(t)
	for _, c := range kept {
		if statusOf[c.Owner] != c.Status || c.Server != "search" || c.Mode != "per_user_headers" {
			t.Errorf("kept: %+v", c)
		}
	}
	if len(kept) != len(statusOf) {
		t.Errorf("%d connections are kept, want %d", len(kept), len(statusOf))
	}
}

// refused fails the test unless the page says that the key is of no use, and
// does not show it.
func refused(t *testing.T, page *oauthtest.Page) *oauthtest.Page {
	t.Helper()
	page.MustShow(t, "The service does not accept this key")
	if strings.Contains(page.Body, wrongKey) {
		t.Error("the page shows the key")
	}
	return page
}

// approve walks from a client's link back to the client, and pastes a key on
// the way, at first a wrong one. before is called when that was refused.
func (h *holder) approve(t *testing.T, link string, before func()) *oauthtest.Page {
	t.Helper()
	services := h.browser.Identify(t, h.browser.Open(t, link), h.Person)
	services.MustShow(t, "Not connected", "Required")
	services = h.browser.Press(t, services, harness.ApproveButton, nil)
	services.MustShow(t, "This service is required")
	keyPage := refused(t, h.browser.PasteKey(t, services, "Search", wrongKey))
	before()
	services = h.browser.PasteAgain(t, keyPage, h.key)
	services.MustShow(t, "Connected")
	return h.browser.Press(t, services, harness.ApproveButton, nil)
}

// accountPage opens the account page, signed in.
func (h *holder) accountPage(t *testing.T, w *keyed) *oauthtest.Page {
	t.Helper()
	page := h.browser.Open(t, w.URL+"/oauth/account")
	if strings.Contains(page.Text(), "Sign in to see") {
		page = h.browser.Identify(t, page, h.Person)
	}
	return page
}

// Three people paste their keys while they sign in, and call all at once. Each
// call carries the key of exactly who makes it, and nothing of the client's
// (E08). A wrong key is refused and not kept. In the end no key is in what the
// gateway printed or wrote (M01, K19).
func TestOwnKeyPastedAtConsent_E08_K19_M01(t *testing.T) {
	w := runKeyed(t, "", noOption)
	people := holders(t)
	secrets := map[string]string{"the wrong key": wrongKey}
	sessions := map[*holder]*mcp.ClientSession{}
	kept := map[string]string{}
	for _, who := range people {
		client := w.Register(t, "http://127.0.0.1:9/callback")
		page := who.approve(t, client.Link(w.URL+"/search"), func() { w.mustHaveKept(t, kept) })
		kept[who.user] = "authorized"
		w.mustHaveKept(t, kept)
		token := client.Redeem(t, page.Leaving, w.URL+"/search").AccessToken
		secrets[who.user+"'s key"], secrets[who.user+"'s token"] = who.key, token
		sessions[who] = connect(t, with(token, w.URL+"/search"), nil, "")
	}

	var calls sync.WaitGroup
	for range 10 {
		for who, session := range sessions {
			calls.Go(func() {
				got, result, err := callWhoAmI(t, session)
				if err != nil || result.IsError || got.Account != who.account {
					t.Errorf("%s came as %q: %v, %+v", who.user, got.Account, err, result)
					return
				}
				for name, values := range got.Headers {
					text := strings.Join(values, " ")
					if name == "Authorization" || name == "Cookie" || strings.Contains(text, secrets[who.user+"'s token"]) {
						t.Errorf("%s has the client's %s: %q", who.user, name, text)
					}
				}
			})
		}
	}
	calls.Wait()
	w.MustNotKeep(t, secrets)
}

// Two people connect, change and end what they connected on the account page.
// The key is tried on the MCP server itself, or where the operator says.
func TestOwnKeyOnAccountPage_K19(t *testing.T) {
	for name, tried := range map[string]struct {
		option func(*harness.Keyed) string
		method string
	}{
		"on the MCP server": {noOption, "POST"},
		"at verify_url":     {func(k *harness.Keyed) string { return "verify_url " + k.CheckURL }, "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			w := runKeyed(t, "", tried.option)
			people := holders(t)
			goes, stays := people[0], people[1]
			kept := map[string]string{}
			for _, who := range []*holder{goes, stays} {
				keyPage := refused(t, who.browser.PasteKey(t, who.accountPage(t, w), "Search", wrongKey))
				w.mustHaveKept(t, kept)
				who.browser.PasteAgain(t, keyPage, who.key).MustShow(t, "Connected")
				kept[who.user] = "authorized"
				w.mustHaveKept(t, kept)
			}
			for _, seen := range w.server.Seen() {
				if seen.Method != tried.method {
					t.Errorf("a key was tried with %s", seen.Method)
				}
			}
			open := func(who *holder) *mcp.ClientSession {
				return connect(t, with(who.VirtualKey, w.URL+"/search"), nil, "2025-11-25")
			}
			session, other := open(goes), open(stays)
			mustBe(t, session, goes.account)
			mustBe(t, other, stays.account)

			refused(t, goes.browser.PasteKey(t, goes.accountPage(t, w), "Search", wrongKey))
			mustBe(t, session, goes.account) // the good key is still there

			goes.browser.PasteKey(t, goes.accountPage(t, w), "Search", goes.otherKey).MustShow(t, "Connected")
			if _, _, err := callWhoAmI(t, session); !errors.Is(err, mcp.ErrSessionMissing) {
				t.Errorf("the session of another account goes on: %v", err)
			}
			session = open(goes)
			mustBe(t, session, goes.otherAccount)

			goes.browser.Submit(t, goes.accountPage(t, w), disconnectPath, nil).MustShow(t, "Not connected")
			delete(kept, goes.user)
			w.mustHaveKept(t, kept)
			before := len(w.server.Seen())
			if _, result, err := callWhoAmI(t, session); err == nil && !result.IsError {
				t.Errorf("a call without a key: %+v", result)
			}
			for _, seen := range w.server.Seen()[before:] {
				t.Errorf("the server saw a %s by %q", seen.Method, seen.Header.Get("X-MCP-User"))
			}
			mustBe(t, other, stays.account)
			w.MustNotKeep(t, map[string]string{
				"the wrong key": wrongKey, "a key": goes.key, "another key": goes.otherKey, "somebody else's key": stays.key,
			})
		})
	}
}

// Who ended the connection is shown a link at the next call, and so is whose
// key the server takes no more.
func TestOwnKeyConnectedAtRunTime(t *testing.T) {
	w := runKeyed(t, "", noOption)
	links := map[*holder]int{}
	sessions := map[*holder]*mcp.ClientSession{}
	people := holders(t)[:2]
	for _, who := range people {
		client := w.Register(t, "http://127.0.0.1:9/callback")
		answer := who.approve(t, client.Link(w.URL+"/search"), func() {}).Leaving
		token := client.Redeem(t, answer, w.URL+"/search").AccessToken
		sessions[who] = connect(t, with(token, w.URL+"/search"), opensURLs(func(link string) {
			key := []string{who.key, who.otherKey}[links[who]]
			links[who]++
			keyPage := refused(t, who.browser.PasteKey(t, who.browser.Open(t, link), "Search", wrongKey))
			who.browser.PasteAgain(t, keyPage, key).MustShow(t, "Search is connected")
		}), "2026-07-28")
		who.browser.Submit(t, who.accountPage(t, w), disconnectPath, nil).MustShow(t, "Not connected")
	}
	for range 2 {
		for _, who := range people {
			mustBe(t, sessions[who], who.account)
		}
	}
	w.server.Withdraw(people[0].key)
	for range 2 {
		mustBe(t, sessions[people[0]], people[0].otherAccount)
		mustBe(t, sessions[people[1]], people[1].account)
	}
	if links[people[0]] != 2 || links[people[1]] != 1 {
		t.Errorf("they were shown %d and %d links, want 2 and 1", links[people[0]], links[people[1]])
	}
}
