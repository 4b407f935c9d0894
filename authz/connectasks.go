package authz

import (
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectPatience is how long a client may come back with the token that was
// answered with a scope to ask for: its other calls were on their way already.
const connectPatience = 10 * time.Second

// ConnectAsks remembers, in bounded memory, which grants were answered with a
// ConnectScope to ask for. Not every client asks: some refresh instead, and come
// back with a token of the same grant, some do nothing. When it is full, the
// grant that was quiet for longest is forgotten, and may be answered so once
// more.
//
// One ConnectAsks serves a whole process: what it remembers survives a change of
// configuration.
type ConnectAsks struct {
	mu    sync.Mutex // guards asked
	asked *lru[connectAskKey, connectAsk]
}

type connectAskKey struct{ grantID, server string }

// connectAsk is the first answer of that kind.
type connectAsk struct {
	token storage.Hash
	at    time.Time
}

// NewConnectAsks returns a memory of at most size grants.
func NewConnectAsks(size int) *ConnectAsks {
	return &ConnectAsks{asked: newLRU[connectAskKey, connectAsk](size)}
}

// worthwhile reports whether to answer a call with a scope to ask for. It is
// not, once a client has shown that it does not ask.
func (a *ConnectAsks) worthwhile(c *Caller, server string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := connectAskKey{c.GrantID, server}
	first, asked := a.asked.get(key)
	if !asked {
		a.asked.put(key, connectAsk{c.TokenHash, now})
		return true
	}
	return first.token == c.TokenHash && now.Before(first.at.Add(connectPatience))
}
