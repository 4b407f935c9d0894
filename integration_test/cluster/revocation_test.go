//go:build integration && linux

package cluster

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/history"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// within is how long what was ended at one instance may go on at another.
const within = 5 * time.Second

// E17: how long after it was ended at one instance something still passes at the
// others.
func testPropagation(t *testing.T, c *cluster, rounds int) {
	// Else an account that was disconnected is of no use at its server either.
	revoke := c.provider.Page(oauthtest.RevokePath, oauthtest.Answer(http.StatusServiceUnavailable, "text/plain", "later"))
	defer func() { c.provider.Page(oauthtest.RevokePath, revoke) }()
	for _, ending := range []struct {
		what, path string
		end        func(t *testing.T, c *cluster, p *person, f *family)
	}{
		{"a grant revoked by its client", "/mcp", func(t *testing.T, c *cluster, p *person, f *family) { p.revoke(t, f) }},
		{"an account disconnected", "/notes", func(t *testing.T, c *cluster, p *person, _ *family) {
			c.instances[0].operate(t, http.MethodDelete, "connections/"+c.connectionOf(t, p), "", nil)
		}},
		{"a virtual key deleted", "/mcp", func(t *testing.T, c *cluster, p *person, _ *family) {
			c.instances[0].operate(t, http.MethodDelete, "keys/"+p.name, "", nil)
		}},
		{"all of a person's ended", "/mcp", func(t *testing.T, c *cluster, p *person, _ *family) {
			c.instances[0].operate(t, http.MethodDelete, "people?subject="+url.QueryEscape("virtual_key:"+p.name), "", nil)
		}},
	} {
		t.Run(ending.what, func(t *testing.T) {
			var took durations
			var all sync.WaitGroup
			for range rounds {
				p := c.keyed(t)
				f := p.at(c.instances[0]).signIn(t, ending.path)
				p.mustPassEverywhere(t, f)
				ending.end(t, c, p, f)
				ended := time.Now()
				for _, i := range c.instances[1:] {
					own := *p
					own.client = i.HTTP
					all.Go(func() { took.add(own.untilRefused(t, f, ended)) })
				}
				all.Wait()
			}
			t.Logf("%s: refused at the others after %v", ending.what, &took)
			if took.max() > within+2*time.Second {
				t.Errorf("at most %v, want %v", took.max(), within)
			}
		})
	}
	t.Run("an open stream of a revoked grant", func(t *testing.T) { testStreams(t, c, rounds) })
}

// keyed returns a person with a virtual key that was made just now.
func (c *cluster) keyed(t *testing.T) *person {
	t.Helper()
	var made struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	c.made++
	c.instances[0].operate(t, http.MethodPost, "keys", fmt.Sprintf(`{"name":"made%d"}`, c.made), &made)
	p := c.newPerson(t, made.Key, made.Name)
	p.name = made.Name
	return p
}

func (c *cluster) connectionOf(t *testing.T, p *person) string {
	t.Helper()
	var all struct {
		Connections []harness.Connection `json:"connections"`
	}
	c.instances[0].operate(t, http.MethodGet, "connections?subject="+url.QueryEscape("virtual_key:"+p.name), "", &all)
	for _, one := range all.Connections {
		if strings.HasSuffix(one.Owner, "virtual_key:"+p.name) {
			return one.ID
		}
	}
	t.Fatalf("no connection of %s in %+v", p.name, all)
	return ""
}

// mustPassEverywhere fills the caches of all instances.
func (p *person) mustPassEverywhere(t *testing.T, f *family) {
	t.Helper()
	for _, i := range p.cluster.instances {
		own := *p
		own.client = i.HTTP
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			status, body := own.call(f)
			if status == http.StatusOK {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("at %s: %d %s", i.name, status, body)
			}
		}
	}
}

func (p *person) untilRefused(t *testing.T, f *family, ended time.Time) time.Duration {
	for {
		if status, _ := p.call(f); status != http.StatusOK {
			return time.Since(ended)
		}
		if time.Since(ended) > 30*time.Second {
			t.Errorf("%s lets it pass half a minute later", p.instance())
			return time.Since(ended)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// revoke revokes the refresh token (RFC 7009).
func (p *person) revoke(t testing.TB, f *family) {
	t.Helper()
	p.cluster.history.Record(history.Operation{Family: f.name, Kind: history.Revoke, Instance: p.instance()}, func(o *history.Operation) {
		resp, err := p.client.PostForm(p.cluster.URL+"/api/oauth/per-user/revoke", url.Values{"token": {f.refresh}, "client_id": {f.client.ID}})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("a revocation: %s", resp.Status)
		}
		o.Outcome = history.Done
	})
}

// testStreams has streams open at two instances, and ends their grants at the
// third (E18).
func testStreams(t *testing.T, c *cluster, rounds int) {
	var took durations
	for n := range rounds {
		p := c.person(t, n).at(c.instances[0])
		f := p.signIn(t, "/mcp")
		session := p.initialize(t, f)
		var all sync.WaitGroup
		ended := make(chan time.Time, 1)
		var open sync.WaitGroup
		for k, i := range c.instances[1:] {
			own := *p
			own.client = i.HTTP
			if k > 0 { // a session has one stream
				session = own.initialize(t, f)
			}
			lines := own.stream(t, f, session)
			open.Add(1)
			all.Go(func() {
				open.Done()
				for range lines {
				}
				at := <-ended
				ended <- at
				took.add(time.Since(at))
			})
		}
		open.Wait()
		p.revoke(t, f)
		ended <- time.Now()
		all.Wait()
	}
	t.Logf("an open stream of a revoked grant ended at the others after %v", &took)
	if took.max() > 2*within+2*time.Second {
		t.Errorf("at most %v", took.max())
	}
}

// initialize begins an MCP session.
func (p *person) initialize(t testing.TB, f *family) (session string) {
	t.Helper()
	resp := p.mcp(t, context.Background(), f, http.MethodPost, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"cluster","version":"1"}}}`)
	_ = resp.Body.Close()
	if session = resp.Header.Get("Mcp-Session-Id"); session == "" {
		t.Fatalf("initialize at %s: %s, and no session", p.instance(), resp.Status)
	}
	_ = p.mcp(t, context.Background(), f, http.MethodPost, session, `{"jsonrpc":"2.0","method":"notifications/initialized"}`).Body.Close()
	return session
}

func (p *person) mcp(t testing.TB, ctx context.Context, f *family, method, session, message string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, p.cluster.URL+f.path, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.access)
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Header.Set("Accept", "text/event-stream")
	}
	if session != "" {
		req.Header.Set("Mcp-Session-Id", session)
		req.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	client := *p.client
	client.Timeout = 0
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// stream opens the event stream of a session. The channel is closed when it ends.
func (p *person) stream(t testing.TB, f *family, session string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp := p.mcp(t, ctx, f, http.MethodGet, session, "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("a stream at %s: %s", p.instance(), resp.Status)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}
