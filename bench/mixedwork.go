package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// work is something that somebody does over and over.
type work struct {
	name  string
	many  int           // how many do it
	pause time.Duration // between
	do    func(m *mixture, p *person) error
}

// everything are the things that go on at the same time.
var everything = []work{
	{"sign in and revoke", 3, 50 * time.Millisecond, (*mixture).signInAndRevoke},
	{"refresh", 3, 1100 * time.Millisecond, (*mixture).refresh},
	{"call", 8, 10 * time.Millisecond, (*mixture).call},
	{"open a stream and close it", 4, 20 * time.Millisecond, (*mixture).openAndClose},
	{"connect and disconnect", 2, 5 * time.Second, (*mixture).connectAndDisconnect},
}

// run does everything for a while, with so many reloads between.
func (m *mixture) run(ctx context.Context, d time.Duration, reloads int) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var all sync.WaitGroup
	who := 0
	for _, w := range everything {
		for range w.many {
			who++
			site := m.gateway.gate
			if w.name == "connect and disconnect" {
				site = m.gateway.own
			}
			p, err := m.gateway.newPersonAt(site, who)
			if err != nil {
				m.failed(w.name, err)
				continue
			}
			p.redial = func() { m.hungUp.Add(1) }
			all.Go(func() {
				defer p.close()
				for pause(ctx, w.pause) {
					if err := w.do(m, p); err != nil {
						m.failed(w.name, err)
						p.client = "" // begin anew
					}
					m.done.Add(1)
				}
			})
		}
	}
	all.Go(func() {
		for range reloads {
			if !pause(ctx, d/time.Duration(reloads+1)) {
				return
			}
			if err := m.reload(); err != nil {
				m.failed("reload", err)
			}
		}
	})
	all.Wait()
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// reload loads the configuration with another option.
func (m *mixture) reload() error {
	m.reloads++
	text := strings.ReplaceAll(m.gateway.config, "identity virtual_key", fmt.Sprintf("flow_lifetime %dm\n\t\tidentity virtual_key", 15+m.reloads))
	resp, err := http.Post("http://"+m.gateway.admin+"/load", "text/caddyfile", strings.NewReader(text))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

// signInAndRevoke signs in as a new client, calls, refreshes, and revokes: no call
// passes after that.
func (m *mixture) signInAndRevoke(p *person) error {
	client, err := p.register()
	if err != nil {
		return err
	}
	t, err := p.signIn(client)
	if err != nil {
		return err
	}
	if err := p.call(t.Access, 200); err != nil {
		return err
	}
	if t, err = p.refresh(client, t.Refresh); err != nil {
		return err
	}
	if err := p.call(t.Access, 200); err != nil {
		return err
	}
	if err := p.revoke(client, t.Refresh); err != nil {
		return err
	}
	return p.call(t.Access, 401)
}

// refresh refreshes one grant again and again.
func (m *mixture) refresh(p *person) (err error) {
	if p.client == "" {
		if p.client, err = p.register(); err != nil {
			return err
		}
		p.tokens, err = p.signIn(p.client)
		return err
	}
	p.tokens, err = p.refresh(p.client, p.tokens.Refresh)
	return err
}

// call calls with the token of a stream.
func (m *mixture) call(p *person) error {
	p.steps++
	return p.call(m.tokens[p.steps%len(m.tokens)], 200)
}

// openAndClose opens a stream, keeps it for a moment, and leaves.
func (m *mixture) openAndClose(p *person) error {
	p.steps++
	c, err := openStream(m.gateway.gate, m.tokens[p.steps%len(m.tokens)])
	if hangsUp(err) {
		m.hungUp.Add(1)
		c, err = openStream(m.gateway.gate, m.tokens[p.steps%len(m.tokens)])
	}
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	c.close()
	return nil
}

// connectAndDisconnect signs in where people connect accounts, calls, and disconnects
// as an operator does.
func (m *mixture) connectAndDisconnect(p *person) error {
	client, err := p.register()
	if err != nil {
		return err
	}
	t, err := p.signIn(client)
	if err != nil {
		return err
	}
	if err := p.call(t.Access, 200); err != nil {
		return err
	}
	if err := m.disconnect(p); err != nil {
		return fmt.Errorf("disconnecting: %w", err)
	}
	return p.revoke(client, t.Refresh)
}

// disconnect ends the account of a person.
func (m *mixture) disconnect(p *person) error {
	list, err := m.gateway.debug("/mcp_oauth/connections?" + url.Values{"site": {"http://" + m.gateway.own}}.Encode())
	if err != nil {
		return err
	}
	var all struct {
		Connections []struct{ ID, Owner string }
	}
	if err := json.Unmarshal(list, &all); err != nil {
		return err
	}
	for _, c := range all.Connections {
		if !strings.HasSuffix(c.Owner, ":"+p.name) {
			continue
		}
		request, err := http.NewRequest(http.MethodDelete, "http://"+m.gateway.admin+"/mcp_oauth/connections/"+url.PathEscape(c.ID), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	}
	return errors.New("there is no such connection")
}
