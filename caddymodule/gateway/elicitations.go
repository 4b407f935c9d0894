package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/openlinks"
)

// maxElicitations bounds how many are remembered.
const maxElicitations = 1 << 12

// Elicitations remembers, in bounded memory, which clients were just given a link
// on which their person connects a server (elicitation in URL mode of MCP), and
// what to tell them when it was used. Nothing is allowed by it. When it is full,
// what ends first is forgotten: a client is then told less, and asks its person
// to try again.
type Elicitations struct {
	// Tell, unless nil, tells the other processes on the same store of what this one
	// cannot do alone. It must not block.
	Tell atomic.Pointer[func(Message)]

	links *openlinks.Links

	mu      sync.Mutex               // guards all below
	waiting map[string]waitingClient // by elicitation ID
	asked   map[string]askedClient   // likewise
	used    map[string]time.Time     // links of other processes, until when that is remembered
	streams map[mcpSession]map[*sessionStream]struct{}
}

// mcpSession is an MCP session of a client, by the upstream's id.
type mcpSession struct {
	openlinks.Client
	id string
}

// waitingClient was answered with an elicitation by URL.
type waitingClient struct {
	session mcpSession
	scopes  string // that were missing
	until   time.Time
}

// askedClient is a client that was given a link, and how.
type askedClient struct {
	grantID string
	how     mcp.Signal
	until   time.Time
}

// NewElicitations returns an empty memory.
func NewElicitations() *Elicitations {
	return &Elicitations{
		links: openlinks.New(server.ConnectLinkLifetime), waiting: map[string]waitingClient{}, asked: map[string]askedClient{},
		used: map[string]time.Time{}, streams: map[mcpSession]map[*sessionStream]struct{}{},
	}
}

// elicitedSession is what the call's client is known by, and its session.
func elicitedSession(c *Call) mcpSession {
	return mcpSession{openlinks.Client{Issuer: c.server.Site.Issuer, GrantID: c.caller.GrantID, Server: c.server.ID}, c.session.ID}
}

// elicitationID returns the name by which a client knows a link. It tells
// nobody the link.
func elicitationID(link string) string {
	sum := sha256.Sum256([]byte("elicitation " + link[strings.LastIndexByte(link, '/')+1:]))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// await notes that a session waits to be told that a link was used.
func (e *Elicitations) await(link string, s mcpSession, scopes []string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	makeRoom(e.waiting, func(w waitingClient) time.Time { return w.until }, now)
	e.waiting[elicitationID(link)] = waitingClient{s, strings.Join(scopes, " "), now.Add(server.ConnectLinkLifetime)}
}

// noteAsked notes who was given a link, for the page on which its person is done.
func (e *Elicitations) noteAsked(link string, c openlinks.Client, how mcp.Signal, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	makeRoom(e.asked, func(a askedClient) time.Time { return a.until }, now)
	e.asked[elicitationID(link)] = askedClient{c.GrantID, how, now.Add(server.ConnectLinkLifetime)}
}

// AskedBy returns the grant of the client that gave its person the link, and how
// the client was told to; no grant if that is not remembered.
func (e *Elicitations) AskedBy(link string) (grantID string, how mcp.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.asked[elicitationID(link)]
	return a.grantID, a.how
}

// Complete tells the session that was given the link that its person connected the
// server with it. Other links that the session was given for the same are done
// too: nobody has to open them any more.
func (e *Elicitations) Complete(link string) {
	if id := elicitationID(link); !e.complete(id) && e.firstUse(id) {
		e.tell(Message{Elicitation: id})
	}
}

// firstUse reports whether it was not called for the link lately: whoever opens a
// page again and again has others told once.
func (e *Elicitations) firstUse(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if now.Before(e.used[id]) {
		return false
	}
	makeRoom(e.used, func(until time.Time) time.Time { return until }, now)
	e.used[id] = now.Add(server.ConnectLinkLifetime)
	return true
}

// complete reports whether it was this process that gave the link.
func (e *Elicitations) complete(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	done, ok := e.waiting[id]
	if !ok {
		return false
	}
	e.links.End(done.session.Client, time.Now())
	stream := e.streamOf(done.session)
	for id, w := range e.waiting {
		if w.session != done.session || w.scopes != done.scopes {
			continue
		}
		delete(e.waiting, id)
		if stream == nil {
			e.tell(Message{Elicitation: id, Session: done.session.name()})
			continue
		}
		go stream.insert(mcp.ElicitationComplete(id)) // whoever connected does not wait for the client to read
	}
	return true
}

// Message is what one process tells the others of a link that was used. The one that
// gave it knows which session waits, and another may have that session's stream.
type Message struct {
	Elicitation string `json:"elicitation,omitempty"`
	// Session is empty while it is not known.
	Session string `json:"session,omitempty"`
}

func (e *Elicitations) tell(m Message) {
	if tell := e.Tell.Load(); tell != nil {
		(*tell)(m)
	}
}

// Told does what this process can about what another told.
func (e *Elicitations) Told(m Message) {
	if m.Session == "" {
		e.complete(m.Elicitation)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for session := range e.streams {
		if session.name() == m.Session {
			go e.streamOf(session).insert(mcp.ElicitationComplete(m.Elicitation))
			return
		}
	}
}

// name is what processes call a session between them. It tells nobody its id.
func (s mcpSession) name() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"session", s.Issuer, s.GrantID, s.Server, s.id}, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// streamOf returns the one stream of a session that a message goes to: the one
// that the client opened for messages, else that of a request.
func (e *Elicitations) streamOf(s mcpSession) *sessionStream {
	var found *sessionStream
	for stream := range e.streams[s] {
		if found == nil || stream.standalone {
			found = stream
		}
	}
	return found
}

func (e *Elicitations) add(s *sessionStream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.streams[s.session] == nil {
		e.streams[s.session] = map[*sessionStream]struct{}{}
	}
	e.streams[s.session][s] = struct{}{}
}

func (e *Elicitations) remove(s *sessionStream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams[s.session], s)
	if len(e.streams[s.session]) == 0 {
		delete(e.streams, s.session)
	}
}

// makeRoom drops from a full map what is over, or else what is over first.
func makeRoom[K comparable, V any](m map[K]V, until func(V) time.Time, now time.Time) {
	if len(m) < maxElicitations {
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
	if len(m) >= maxElicitations {
		delete(m, first)
	}
}
