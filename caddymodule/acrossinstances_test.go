//go:build postgres

package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// cluster is two instances of one site on one database: one in this process, and
// one in a process of its own.
type cluster struct {
	*instance
	admin string
	dsn   string
	lines string    // of the site
	peer  *instance // the other, by its own address
	path  string    // of a server that needs no account
}

// newCluster starts them. What the peer's store has besides is peerStorage.
func newCluster(t *testing.T, server *pgtest.Server, lines, peerStorage string) *cluster {
	t.Helper()
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	c := &cluster{instance: g, admin: freeAddr(t), dsn: server.DSN(), path: "/mcp", lines: lines}
	g.load(c.file())
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})

	c.peer = c.join(peerStorage)
	return c
}

// file is the Caddyfile of this one.
func (c *cluster) file() string {
	key := fmt.Sprintf("%x", testKey("shared"))
	file := c.onPostgres("public_url "+c.url+"\n"+c.lines, c.dsn)
	return strings.NewReplacer("mcp_oauth {\n\t\tstorage", "mcp_oauth {\n\t\tencryption_key "+key+"\n\t\tstorage", "admin off", "admin "+c.admin).Replace(file)
}

// join starts one more, in a process of its own. What its store has besides is storage.
func (c *cluster) join(storage string) *instance {
	t, g := c.t, c.instance
	t.Helper()
	peer := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	peer.url, peer.logs = "http://"+peer.addr, filepath.Join(peer.dir, "caddy.log")
	_, port, _ := strings.Cut(peer.addr, ":")
	file := strings.NewReplacer("admin "+c.admin, "admin off", g.dir, peer.dir, "\nhttp://"+g.addr+" {", "\n:"+port+" {",
		"max_connections 5", "max_connections 5\n"+storage).Replace(c.file())
	name := filepath.Join(peer.dir, "Caddyfile")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	process.Env = append(os.Environ(), instanceFile+"="+name)
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = process.Wait()
	})
	oauthtest.Eventually(t, "the other instance does not serve", func() bool {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", peer.url+"/oauth/account", nil)
		req.Host = g.addr
		res, err := once.RoundTrip(req)
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode < 500
	})
	return peer
}

// at sends a request of the site to one of the other instances.
func (c *cluster) at(peer *instance, method, path, body, token string, headers ...string) *http.Response {
	c.t.Helper()
	return peer.call(method, path, body, append([]string{"Host", c.addr, "Authorization", "Bearer " + token}, headers...)...)
}

// through has a browser reach the site at another instance.
func (c *cluster) through(peer *instance, p *person) {
	p.browser.Client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == c.addr {
			r = r.Clone(r.Context())
			r.Host, r.URL.Host = c.addr, peer.addr
		}
		return p.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// atPeer sends a request of the site to the other instance.
func (c *cluster) atPeer(method, body, token string, headers ...string) *http.Response {
	c.t.Helper()
	return c.at(c.peer, method, c.path, body, token, headers...)
}

// within calls the other instance until it answers so, and returns how long that
// took.
func (c *cluster) within(limit time.Duration, want int, token string) time.Duration {
	c.t.Helper()
	began := time.Now()
	for {
		got := c.atPeer("POST", initialize, token).StatusCode
		took := time.Since(began)
		if got == want {
			c.t.Logf("%s: %d after %v", c.t.Name(), want, took)
			return took
		}
		if took > limit {
			c.t.Fatalf("after %v it answers %d, want %d", took, got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// listening waits until changes of this instance arrive at the others at once.
func (c *cluster) listening(others ...*instance) {
	c.t.Helper()
	for _, other := range append(others, c.peer) {
		c.heardAt(other)
	}
}

func (c *cluster) heardAt(peer *instance) {
	c.t.Helper()
	oauthtest.Eventually(c.t, "changes of this instance do not arrive at the other at once", func() bool {
		token := accessToken(c.t, c.signIn("probe", c.url+c.path))
		status(c.t, c.at(peer, "POST", c.path, initialize, token), 200)
		c.revoke(token)
		began := time.Now()
		for time.Since(began) < time.Second {
			if c.at(peer, "POST", c.path, initialize, token).StatusCode == 401 {
				return true
			}
		}
		return false
	})
}

// atOnce is how soon a change is to arrive that is notified, on a busy machine.
const atOnce = 2 * time.Second

// answersAndStreams is an MCP server that answers calls, and opens a stream to whoever
// gets one. What is sent to later is an event of one of the streams.
func answersAndStreams(t *testing.T) (_ *oauthtest.Host, later chan string) {
	later = make(chan string)
	return oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			oauthtest.Document(oauthtest.Object{"jsonrpc": "2.0", "id": 1, "result": oauthtest.Object{}})(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for event := "open"; ; {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case event = <-later:
			case <-r.Context().Done():
				return
			}
		}
	}), later
}

// What ends at one instance ends at the other, which has it in its caches, at once.
func TestEndsAtOtherInstances_E17_E18(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	up, _ := answersAndStreams(t)
	c := newCluster(t, server, alice+"server a /mcp "+up.URL, "")
	c.listening()

	t.Run("access token", func(t *testing.T) {
		token := accessToken(t, c.signIn("client", c.url+"/mcp"))
		status(t, c.atPeer("POST", initialize, token), 200)
		stream := c.atPeer("GET", "", token, "Accept", "text/event-stream")
		if got, err := readEvent(stream.Body); got != "open" {
			t.Fatalf("got %q, %v", got, err)
		}
		c.revoke(token)
		c.within(atOnce, 401, token)
		endsSoon(t, stream.Body)
	})
	t.Run("grant", func(t *testing.T) {
		token := accessToken(t, c.signIn("client", c.url+"/mcp"))
		status(t, c.atPeer("POST", initialize, token), 200)
		stream := c.atPeer("GET", "", token, "Accept", "text/event-stream")
		if got, err := readEvent(stream.Body); got != "open" {
			t.Fatalf("got %q, %v", got, err)
		}
		for _, g := range grantsAt(t, c.admin, "").Grants {
			admin(t, c.admin, "DELETE", "/mcp_oauth/grants/"+g.ID, 200)
		}
		c.within(atOnce, 401, token)
		endsSoon(t, stream.Body)
	})
	t.Run("what a person lets a client use", func(t *testing.T) {
		token := accessToken(t, c.signIn("client", c.url+"/mcp"))
		const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}`
		calls := func() string { return status(t, c.atPeer("POST", call, token), 200) }
		if got := calls(); strings.Contains(got, "Unknown tool") {
			t.Fatalf("got %s", got)
		}
		stream := c.atPeer("GET", "", token, "Accept", "text/event-stream")
		if got, err := readEvent(stream.Body); got != "open" {
			t.Fatalf("got %q, %v", got, err)
		}
		c.choose(storage.Choice{Resource: c.url + "/mcp", Others: storage.ReadOnlyOthers})
		began := time.Now()
		for !strings.Contains(calls(), "Unknown tool: delete") {
			if time.Since(began) > atOnce {
				t.Fatalf("after %v the other instance lets it through", time.Since(began))
			}
		}
		endsSoon(t, stream.Body)
		if _, err := c.state().store.RevokeGrant(t.Context(), c.onlyGrant().ID, time.Now()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("virtual key", func(t *testing.T) {
		made := adminKey(t, c.admin, "POST", "/mcp_oauth/keys", `{"name":"carol"}`, 201)
		c.within(atOnce, 200, made.Key)
		stream := c.atPeer("GET", "", made.Key, "Accept", "text/event-stream")
		if got, err := readEvent(stream.Body); got != "open" {
			t.Fatalf("got %q, %v", got, err)
		}
		admin(t, c.admin, "DELETE", "/mcp_oauth/keys/carol", 200)
		c.within(atOnce, 401, made.Key)
		endsSoon(t, stream.Body)
	})
}

// endsSoon checks that a stream ends at once.
func endsSoon(t *testing.T, body io.Reader) {
	t.Helper()
	began := time.Now()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	if took := time.Since(began); took > atOnce {
		t.Errorf("the stream ends after %v, want at once", took)
	}
}

// Where no notification arrives, what ends at one instance ends at the other within
// the time of its caches, and that is said once.
func TestEndsWithoutNotifications_E17(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	closed := freeAddr(t)
	_, port, _ := strings.Cut(closed, ":")
	c := newCluster(t, server, alice+"server a /mcp "+oauthtest.Serve(t, nil).URL,
		`listen_dsn "host=127.0.0.1 port=`+port+` user=postgres dbname=postgres"`)
	token := accessToken(t, c.signIn("client", c.url+"/mcp"))
	status(t, c.atPeer("POST", initialize, token), 200)
	c.revoke(token)
	c.within(storage.WatchInterval+3*time.Second, 401, token)
	made := adminKey(t, c.admin, "POST", "/mcp_oauth/keys", `{"name":"carol"}`, 201)
	c.within(storage.WatchInterval+3*time.Second, 200, made.Key)
	oauthtest.Eventually(t, "the log does not say that changes arrive late", func() bool { return c.peer.logged("arrive late") == 1 })
	if log := c.log(); strings.Contains(log, "arrive late") {
		t.Error("the instance that is notified says that it is not")
	}
}

// An account that is connected, or disconnected, at one instance is so at the other,
// and a client is told on its stream there that its person used a link of another
// instance.
func TestAccountsAtOtherInstances_E17(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	notion := newService(t)
	notion.serveStreams(t)
	c := newCluster(t, server, people("alice")+notion.server("optional")+"server a /a "+oauthtest.Serve(t, nil).URL+"\n", "")
	c.path = "/a"
	c.listening()
	c.path = "/mcp"
	person := c.person("alice")
	person.connect("notion")
	token := keyOf("alice")
	id := c.atPeer("POST", opensURLs, token).Header.Get("Mcp-Session-Id")
	headers := []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", "2025-11-25"}
	stream := &mcpStream{person: person, header: headers}
	stream.body = c.atPeer("GET", "", token, append(headers, "Accept", "text/event-stream")...).Body
	if got, err := readEvent(stream.body); got != "id: 41\ndata: open" {
		t.Fatalf("got %q, %v", got, err)
	}
	person.disconnect("notion")
	began := time.Now()
	for { // the other instance asks for an account as soon as it hears of that
		answer := status(t, c.atPeer("POST", toolCall, token, headers...), 200)
		if connectLink.MatchString(answer) {
			t.Logf("asks for an account after %v", time.Since(began))
			var e struct {
				Error struct {
					Data struct {
						Elicitations []struct{ ElicitationID string }
					}
				}
			}
			if err := json.Unmarshal([]byte(answer), &e); err != nil || len(e.Error.Data.Elicitations) != 1 {
				t.Fatalf("answer %s, %v", answer, err)
			}
			person.follow(answer) // here
			if got, want := stream.told(), e.Error.Data.Elicitations[0].ElicitationID; got != want {
				t.Errorf("told of %s, want %s", got, want)
			}
			break
		}
		if time.Since(began) > atOnce {
			t.Fatalf("it does not ask for an account: %s", answer)
		}
	}
}

// New signing keys are those of the other instance too, and what it published before
// is no more.
func TestSigningKeysOfOtherInstances_E17(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	c := newCluster(t, server, alice+"server a /mcp "+oauthtest.Serve(t, nil).URL+" {\nidentity_jwt X-Caller\n}", "")
	c.listening()
	keys := func(at *instance) string {
		t.Helper()
		return status(t, at.call("GET", "/.well-known/jwks.json", "", "Host", c.addr, "Authorization", ""), 200)
	}
	before := keys(c.peer)
	if keys(c.instance) != before {
		t.Fatal("they publish other keys")
	}
	admin(t, c.admin, "DELETE", "/mcp_oauth/signing_keys", 200)
	began := time.Now()
	for keys(c.peer) == before {
		if time.Since(began) > atOnce {
			t.Fatal("the other instance has the keys of before")
		}
	}
	t.Logf("it has the new keys after %v", time.Since(began))
	if got, want := keys(c.peer), keys(c.instance); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
