package caddymodule

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// maxOpenLinks bounds how much is remembered of links that clients were given.
const maxOpenLinks = 1 << 12

// openLinks remembers, in bounded memory, which clients were just given a link
// on which their person connects a server, and what to tell them when it was
// used. Nothing is allowed by it. When it is full, what ends first is forgotten:
// a client is then told less, and asks its person to try again.
type openLinks struct {
	mu      sync.Mutex // guards all below
	asked   map[askedClient]time.Time
	waiting map[string]waitingClient // by elicitation ID
	streams map[mcpSession]map[*sessionStream]struct{}
}

// askedClient is a grant and the server that its person was asked to connect.
type askedClient struct{ issuer, grantID, server string }

// mcpSession is an MCP session of a client, by the upstream's id.
type mcpSession struct {
	askedClient
	id string
}

// waitingClient was answered with an elicitation by URL.
type waitingClient struct {
	session mcpSession
	scopes  string // that were missing
	until   time.Time
}

func newOpenLinks() *openLinks {
	return &openLinks{
		asked: map[askedClient]time.Time{}, waiting: map[string]waitingClient{},
		streams: map[mcpSession]map[*sessionStream]struct{}{},
	}
}

// elicitationID returns the name by which a client knows a link. It tells
// nobody the link.
func elicitationID(link string) string {
	sum := sha256.Sum256([]byte("elicitation " + link[strings.LastIndexByte(link, '/')+1:]))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// ask notes that a client was given a link. One that is still open is not
// prolonged: a client that does nothing about it is led elsewhere in the end.
func (o *openLinks) ask(c askedClient, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Before(o.asked[c]) {
		return
	}
	makeRoom(o.asked, func(until time.Time) time.Time { return until }, now)
	o.asked[c] = now.Add(authz.ConnectLinkLifetime)
}

// isOpen reports whether a client was given a link that its person may still
// use.
func (o *openLinks) isOpen(c askedClient, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return now.Before(o.asked[c])
}

// await notes that a session waits to be told that a link was used.
func (o *openLinks) await(link string, s mcpSession, scopes []string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	makeRoom(o.waiting, func(w waitingClient) time.Time { return w.until }, now)
	o.waiting[elicitationID(link)] = waitingClient{s, strings.Join(scopes, " "), now.Add(authz.ConnectLinkLifetime)}
}

// used tells the session that was given the link that its person connected the
// server with it. Other links that the session was given for the same are done
// too: nobody has to open them any more.
func (o *openLinks) used(link string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	done, ok := o.waiting[elicitationID(link)]
	if !ok {
		return
	}
	delete(o.asked, done.session.askedClient)
	stream := o.streamOf(done.session)
	for id, w := range o.waiting {
		if w.session != done.session || w.scopes != done.scopes {
			continue
		}
		delete(o.waiting, id)
		if stream != nil {
			go stream.insert(mcp.ElicitationComplete(id)) // whoever connected does not wait for the client to read
		}
	}
}

// streamOf returns the one stream of a session that a message goes to: the one
// that the client opened for messages, else that of a request.
func (o *openLinks) streamOf(s mcpSession) *sessionStream {
	var found *sessionStream
	for stream := range o.streams[s] {
		if found == nil || stream.standalone {
			found = stream
		}
	}
	return found
}

func (o *openLinks) add(s *sessionStream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.streams[s.session] == nil {
		o.streams[s.session] = map[*sessionStream]struct{}{}
	}
	o.streams[s.session][s] = struct{}{}
}

func (o *openLinks) remove(s *sessionStream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.streams[s.session], s)
	if len(o.streams[s.session]) == 0 {
		delete(o.streams, s.session)
	}
}

// makeRoom drops from a full map what is over, or else what is over first.
func makeRoom[K comparable, V any](m map[K]V, until func(V) time.Time, now time.Time) {
	if len(m) < maxOpenLinks {
		return
	}
	var first K
	var earliest time.Time
	for k, v := range m {
		end := until(v)
		if !now.Before(end) {
			delete(m, k)
		} else if earliest.IsZero() || end.Before(earliest) {
			first, earliest = k, end
		}
	}
	if len(m) >= maxOpenLinks {
		delete(m, first)
	}
}
