package gate

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// stepUpPatience is how long a client may come back with the token that was
// answered with a scope to ask for: its other calls were on their way already.
const stepUpPatience = 10 * time.Second

// StepUps remembers, in bounded memory, which grants were answered with a
// ConnectScope to ask for. Not every client asks: some refresh instead, and come
// back with a token of the same grant, some do nothing. When it is full, the
// grant that was quiet for longest is forgotten, and may be answered so once
// more.
//
// One StepUps serves a whole process: what it remembers survives a change of
// configuration.
type StepUps struct {
	// Tell, unless nil, tells other processes on the same store of a first answer. It
	// must not block.
	Tell atomic.Pointer[func(SteppedUp)]

	mu       sync.Mutex // guards answered
	answered *cache.LRU[stepUpKey, SteppedUp]
}

type stepUpKey struct{ grantID, server string }

// SteppedUp is the first answer of that kind.
type SteppedUp struct {
	GrantID string       `json:"grant_id"`
	Server  string       `json:"server"`
	Token   storage.Hash `json:"token"`
	At      time.Time    `json:"at"`
}

// NewStepUps returns a memory of at most size grants.
func NewStepUps(size int) *StepUps {
	return &StepUps{answered: cache.NewLRU[stepUpKey, SteppedUp](size)}
}

// shouldChallenge reports whether to answer a call with a scope to ask for. It is
// not, once a client has shown that it does not ask.
func (h *StepUps) shouldChallenge(c *tokens.Caller, server string, now time.Time) bool {
	first, known := h.note(SteppedUp{c.GrantID, server, c.TokenHash, now})
	if !known {
		if tell := h.Tell.Load(); tell != nil {
			(*tell)(first)
		}
		return true
	}
	return first.Token == c.TokenHash && now.Before(first.At.Add(stepUpPatience))
}

// note remembers an answer, unless it is not the first. It returns the first.
func (h *StepUps) note(s SteppedUp) (first SteppedUp, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := stepUpKey{s.GrantID, s.Server}
	if first, known = h.answered.Get(key); known {
		return first, true
	}
	h.answered.Put(key, s)
	return s, false
}

// Told notes what another process answered just now: a client that does not ask is
// not asked once more by each of them. The other's clock may be minutes apart.
func (h *StepUps) Told(s SteppedUp, now time.Time) {
	s.At = now
	h.note(s)
}

// StepUp refuses a call for which an upstream wants more scopes than every call
// needs: 403 with insufficient_scope (RFC 6750 section 3.1), upon which the
// client asks the person for them. It reports whether it did. It does nothing
// unless the caller lacks a scope, and all of them are this server's: what is
// not for us to grant would send the client round in circles.
func (g *Gate) StepUp(w http.ResponseWriter, r *http.Request, c *tokens.Caller, needed []string) bool {
	scopes := strings.Fields(c.Scope)
	granted := len(scopes)
	for _, s := range needed {
		if !g.server.HasScope(s) {
			return false
		}
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	if len(scopes) == granted {
		return false
	}
	g.challengeScope(w, r, c, scopes, event.Event{Kind: event.GateRefused, Reason: "step_up"})
	return true
}
