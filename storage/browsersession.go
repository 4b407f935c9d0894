package storage

import (
	"context"
	"time"
)

// BrowserSession is a person signed in to the account and connect pages.
type BrowserSession struct {
	Hash      Hash      `json:"-"` // of the cookie
	Issuer    string    `json:"issuer"`
	Identity  Identity  `json:"identity"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// SignIn is a browser session that begins, and what ends with that.
type SignIn struct {
	BrowserSession
	// Replaces is the session that the browser had before and that ends; zero
	// if it had none.
	Replaces Hash
	// Flows are the hashes of the browser's flow cookies. If the session before
	// was somebody else's, the flows of that person among them end.
	Flows []Hash
	// EndsOthers tells that whoever signs in is somebody in particular: of Flows,
	// those of everybody else end, signed in before or not.
	EndsOthers bool
	// Quota is nil for a person who proved who they are. Else anybody can have
	// made the session, and beyond the quota the oldest end.
	Quota *Quota
}

// SessionStore keeps who is signed in at the pages, and in which browser.
type SessionStore interface {
	// CreateBrowserSession signs a browser in to the pages; SubmitFlow does too.
	CreateBrowserSession(ctx context.Context, s SignIn) error
	// BrowserSession returns who is signed in, or ErrNotFound.
	BrowserSession(ctx context.Context, h Hash, now time.Time) (BrowserSession, error)
	// BrowserSessionsOf returns the browser sessions of a subject, oldest first.
	BrowserSessionsOf(ctx context.Context, issuer, subject string, now time.Time) ([]BrowserSession, error)
	// DeleteBrowserSession signs a browser out. Of the pending flows of its
	// person, those end that are bound to one of the cookies with the hashes.
	DeleteBrowserSession(ctx context.Context, h Hash, flows []Hash, now time.Time) error
	// DeleteBrowserSessions signs a subject out in every browser.
	DeleteBrowserSessions(ctx context.Context, issuer, subject string) error
}
