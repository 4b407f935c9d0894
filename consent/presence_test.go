package consent

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

const (
	oldKey = "alice's first key"
	newKey = "alice's other key"
	bobKey = "bob's key, bob's key"
)

var (
	firstAlice  = identity.Key{Name: "alice", Hash: storage.HashOf(oldKey)}
	secondAlice = identity.Key{Name: "alice", Hash: storage.HashOf(newKey)}
	keyOfBob    = identity.Key{Name: "bob", Hash: storage.HashOf(bobKey)}
)

const subjectAlice = "virtual_key:alice"

// keyed returns the browser of a site where alice has her first key.
func keyed(t *testing.T, p *oauthtest.Provider) *browser {
	t.Helper()
	return newWalkWith(t, memstore.New(), []identity.Key{firstAlice, keyOfBob}, upstreams(p)...).browser()
}

// another returns another browser at the same site.
func (b *browser) another() *browser { return b.walk.browser() }

// account signs in at the account page with a key.
func (b *browser) account(key string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.follow(b.press(b.open(accountPath), accountFormsPath+"vk", url.Values{"vk": {key}}))
}

// identify goes from the client's link to the services page with a key, and
// returns the address of the identity page too.
func (b *browser) identify(key string) (identityURL string, services *httptest.ResponseRecorder) {
	b.t.Helper()
	identityURL = b.start()
	return identityURL, b.identifyAt(identityURL, key)
}

func (b *browser) identifyAt(identityURL, key string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.follow(b.press(b.choose(identityURL), keyPath, url.Values{"vk": {key}}))
}

func (b *browser) signOut() {
	b.t.Helper()
	mustAnswer(b.t, b.press(b.open(accountPath), signOutPath, nil), http.StatusSeeOther)
}

func (b *browser) signOutEverywhere() {
	b.t.Helper()
	mustAnswer(b.t, b.press(b.open(accountPath), signOutEverywherePath, nil), http.StatusSeeOther)
}

// startedConnects are the ways on which somebody with the first key is at a
// provider, or about to paste a key.
func startedConnects() map[string]func(*browser) *httptest.ResponseRecorder {
	return map[string]func(*browser) *httptest.ResponseRecorder{
		"account page": func(b *browser) *httptest.ResponseRecorder {
			return b.press(b.account(oldKey), accountConnectPath, url.Values{"server": {"notion"}})
		},
		"connect link": func(b *browser) *httptest.ResponseRecorder {
			b.account(oldKey)
			id := firstAlice.Identity()
			page := b.open(strings.TrimPrefix(b.as.Links.URL(id, "notion"), "https://mcp.example.com"))
			return b.press(page, accountConnectPath, nil)
		},
		"flow of whoever is known": func(b *browser) *httptest.ResponseRecorder {
			b.account(oldKey)
			return b.press(b.remembered("alice"), flowConnectPath, pressNotion)
		},
		"flow": func(b *browser) *httptest.ResponseRecorder {
			b.account(oldKey)
			_, page := b.identify(oldKey)
			return b.press(page, flowConnectPath, pressNotion)
		},
	}
}

// Whatever was begun is worth nothing once whoever began it is not there any
// more, or has another key: no code is used, nobody's account is another's.
func TestWhoLeftConnectsNothing_I10_K01(t *testing.T) {
	for how, start := range startedConnects() {
		for what, leave := range map[string]func(b *browser){
			"the key was withdrawn":              func(b *browser) { b.reload(keyOfBob) },
			"the name was given to another":      func(b *browser) { b.reload(secondAlice, keyOfBob) },
			"the kind of identity is gone":       func(b *browser) { b.reload(); b.as.Config().SignIn = identity.Methods{identity.ByUserID()} },
			"the key opens the server no more":   func(b *browser) { k := firstAlice; k.Servers = []string{"github"}; b.reload(k) },
			"signed out":                         (*browser).signOut,
			"signed out, and somebody else in":   func(b *browser) { b.signOut(); b.account(bobKey) },
			"signed out everywhere":              (*browser).signOutEverywhere,
			"signed out everywhere, in another":  func(b *browser) { o := b.another(); o.account(oldKey); o.signOutEverywhere() },
			"somebody else signed in":            func(b *browser) { b.signInOver(bobKey) },
			"the name was given, and signed out": func(b *browser) { b.reload(secondAlice); b.account(newKey) },
		} {
			t.Run(how+", "+what, func(t *testing.T) {
				p := newProvider(t)
				b := keyed(t, p)
				back := agree(t, start(b), "old")
				leave(b)
				page := b.open(back)
				for page.Code == http.StatusSeeOther {
					page = b.follow(page)
				}
				told := []string{"So nothing was connected", "or you signed out meanwhile", "This service does not exist, or cannot be connected here"}
				if !slices.ContainsFunc(told, func(words string) bool { return strings.Contains(shows(page), words) }) {
					t.Errorf("the person is not told:\n%s", shows(page))
				}
				b.wantNothing(p)
			})
		}
	}
}

var approveGitHub = url.Values{"decision": {"approve"}, "resource": {"https://mcp.example.com/mcp/github"}}

// Somebody who only said who they are for a client has no account page, and
// leaves the browser to the next person without signing out.
func TestTheNextPersonInTheBrowser(t *testing.T) {
	for what, next := range map[string]struct {
		comes func(b *browser)
		ends  bool
	}{
		"on the account page":       {func(b *browser) { b.account(bobKey) }, true},
		"for another client":        {func(b *browser) { _, page := b.identify(bobKey); answer(b.t, b.press(page, submitPath, approveGitHub)) }, true},
		"the same, on account page": {func(b *browser) { b.account(oldKey) }, false},
		"in another browser":        {func(b *browser) { b.another().account(bobKey) }, false},
		"nobody in particular": {func(b *browser) {
			b.as.Config().SignIn = append(b.as.Config().SignIn, identity.Anonymously())
			page := b.follow(b.press(b.open(b.start()), anonymousPath, nil))
			mustAnswer(b.t, b.press(page, submitPath, approveGitHub), http.StatusSeeOther)
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			p := newProvider(t)
			b := keyed(t, p)
			_, page := b.identify(oldKey)
			back := agree(t, b.press(page, flowConnectPath, pressNotion), "next's")
			next.comes(b)
			page = b.open(back)
			if ended := exchanged(p) == 0; ended != next.ends {
				t.Errorf("ended: %t; status %d, Location %q", ended, page.Code, page.Header().Get("Location"))
			}
			if next.ends {
				b.wantNothing(p)
			}
		})
	}
}

// signInOver signs in by a connect link that was made for somebody else, which
// is how a browser changes hands without signing out.
func (b *browser) signInOver(key string) {
	b.t.Helper()
	link := b.as.Links.URL(keyOfBob.Identity(), "notion")
	page := b.open(strings.TrimPrefix(link, "https://mcp.example.com"))
	mustAnswer(b.t, b.press(page, accountFormsPath+"vk", url.Values{"vk": {key}}), http.StatusSeeOther)
}

func (b *browser) wantNothing(p *oauthtest.Provider) {
	b.t.Helper()
	if exchanged(p) != 0 {
		b.t.Error("the code was used")
	}
	all, err := b.store.ConnectionsOf(b.t.Context(), b.as.Config().Issuer, "", b.clock.Now())
	if err != nil || len(all) != 0 {
		b.t.Errorf("connections %+v, %v", all, err)
	}
}

// Others who sign out do not end what somebody else began, nor does the same
// person in another browser.
func TestWhoStaysConnects(t *testing.T) {
	for how, start := range startedConnects() {
		for what, meanwhile := range map[string]func(b *browser){
			"nothing happens":                   func(*browser) {},
			"a reload that changes nothing":     func(b *browser) { b.reload(firstAlice, keyOfBob) },
			"the same person elsewhere":         func(b *browser) { o := b.another(); o.account(oldKey); o.signOut() },
			"somebody else signs out elsewhere": func(b *browser) { o := b.another(); o.account(bobKey); o.signOutEverywhere() },
		} {
			t.Run(how+", "+what, func(t *testing.T) {
				b := keyed(t, newProvider(t))
				back := agree(t, start(b), "alice's")
				meanwhile(b)
				page := b.follow(b.open(back))
				if !strings.Contains(shows(page), ">Connected<") {
					t.Errorf("not connected:\n%s", shows(page))
				}
			})
		}
	}
}

// What ends while the provider is asked for tokens ends them too.
func TestWhoLeavesDuringTheExchange(t *testing.T) {
	for how, start := range startedConnects() {
		for what, leave := range map[string]func(b *browser){
			"signs out":            (*browser).signOut,
			"signs out everywhere": (*browser).signOutEverywhere,
		} {
			t.Run(how+", "+what, func(t *testing.T) {
				p := newProvider(t)
				b := keyed(t, p)
				back := agree(t, start(b), "late")
				elsewhere := *b
				p.Arrived = func(url.Values) { leave(&elsewhere) }
				page := b.open(back)
				if !strings.Contains(page.Header().Get("Location"), "error=left") {
					t.Errorf("status %d, Location %q", page.Code, page.Header().Get("Location"))
				}
				b.clock.Advance(2 * time.Hour)
				if err := b.broker.RevokeDue(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, want := p.Revocations(), "access_token at-late-1"; !slices.Contains(got, want) {
					t.Errorf("revoked %q, want %q", got, want)
				}
				if got := b.carries(subjectAlice, "notion"); got != accounts.ErrNotConnected.Error() {
					t.Errorf("calls carry %q", got)
				}
			})
		}
	}
}

// A key page that is open while its person leaves takes nothing.
func TestWhoLeftPastesNothing(t *testing.T) {
	for what, leave := range map[string]func(b *browser){
		"the name was given to another": func(b *browser) { b.reload(secondAlice, keyOfBob) },
		"signed out":                    (*browser).signOut,
		"signed out everywhere":         func(b *browser) { o := b.another(); o.account(oldKey); o.signOutEverywhere() },
	} {
		t.Run(what, func(t *testing.T) {
			p := newProvider(t)
			b := keyed(t, p)
			own := b.follow(b.press(b.account(oldKey), accountConnectPath, url.Values{"server": {"github"}}))
			_, services := b.identify(oldKey)
			inFlow := b.follow(b.press(services, flowConnectPath, url.Values{"server": {"github"}}))
			leave(b)
			mustAnswer(t, b.press(own, accountKeyPath, url.Values{"key-0": {goodKey}}), http.StatusForbidden)
			mustAnswer(t, b.press(inFlow, flowPastePath, url.Values{"key-0": {goodKey}}), http.StatusConflict)
			b.wantNothing(p)
		})
	}
}
