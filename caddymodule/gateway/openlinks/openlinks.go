// Package openlinks knows which clients have a link open on which their person connects
// a server (elicitation in URL mode of MCP): what else such a client sends can wait.
//
// What this process gave out it remembers, in bounded memory. Each link has a record
// besides, by which the other processes on the same store know of it, and this one once
// it was started again. Nothing is allowed by either, and no link is in them.
package openlinks

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// maxRemembered bounds how many links are remembered. What was given out by others,
	// and what was forgotten, is asked for.
	maxRemembered = 1 << 12
	// endPatience bounds how long the end of a link is tried to be stored. Where it is
	// not, the link counts as open for as long as it could have been.
	endPatience = 10 * time.Second
)

// Store keeps the records, see storage.AuthStore.
type Store interface {
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
	PutSiteValue(ctx context.Context, v storage.SiteValue) error
	ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error)
}

// Client is a client, by its grant, and the server that its person was asked to connect.
type Client struct{ Issuer, GrantID, Server string }

// value is the name of the record.
func (c Client) value() string { return "open link " + c.GrantID + " " + c.Server }

// Links are those that a process gave out. They outlive a configuration and its store.
type Links struct {
	lifetime time.Duration

	mu    sync.Mutex // guards given
	given *cache.LRU[Client, given]
}

// given is a link that this process gave out.
type given struct {
	until time.Time
	store Store  // that has the record
	text  string // of the record, by which it is told from a later one
}

// New returns an empty memory of links that work for so long.
func New(lifetime time.Duration) *Links {
	return &Links{lifetime: lifetime, given: cache.NewLRU[Client, given](maxRemembered)}
}

// Begin notes that a client is given a link. One that is still open is not prolonged: a
// client that does nothing about it is led elsewhere in the end. After an error the link
// must not be given out, as others would not know of it.
//
// A virtual key has no grant that could end meanwhile: of that nothing is noted.
func (l *Links) Begin(ctx context.Context, in Store, c Client, now time.Time) error {
	if open, err := l.IsOpen(ctx, in, c, now); open || err != nil || c.GrantID == "" {
		return err
	}
	next := given{now.Add(l.lifetime), in, rand.Text()}
	err := in.PutSiteValue(ctx, storage.SiteValue{Issuer: c.Issuer, Name: c.value(), Text: next.text, ExpiresAt: next.until})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given.Put(c, next)
	return nil
}

// IsOpen reports whether a client was given a link that its person may still use. It
// asks the store if it was not this process that gave it.
func (l *Links) IsOpen(ctx context.Context, in Store, c Client, now time.Time) (bool, error) {
	if l.isGiven(c, now) {
		return true, nil
	}
	if c.GrantID == "" {
		return false, nil
	}
	_, err := in.SiteValue(ctx, c.Issuer, c.value(), now)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (l *Links) isGiven(c Client, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, known := l.given.Get(c)
	return known && now.Before(g.until)
}

// End notes that a link was used that this process gave out. Whoever used it does not
// wait for that to be stored.
func (l *Links) End(c Client, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, known := l.given.Get(c)
	if !known {
		return
	}
	l.given.Remove(c)
	go g.end(c, now)
}

// end has the record end, unless it is a later one.
func (g given) end(c Client, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	_, _ = g.store.ReplaceSiteValue(ctx, storage.SiteValue{Issuer: c.Issuer, Name: c.value(), Text: "ended", ExpiresAt: now}, g.text, now)
}
