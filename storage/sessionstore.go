package storage

import (
	"context"
	"time"
)

// SessionStore keeps who is signed in at the pages, and in which browser.
type SessionStore interface {
	// CreateBrowserSession signs a browser in to the pages; SubmitFlow does too.
	CreateBrowserSession(ctx context.Context, s SignIn) error
	// BrowserSession returns who is signed in, or ErrNotFound.
	BrowserSession(ctx context.Context, h Hash, now time.Time) (BrowserSession, error)
	// DeleteBrowserSession signs a browser out. Of the pending flows of its
	// person, those end that are bound to one of the cookies with the hashes.
	DeleteBrowserSession(ctx context.Context, h Hash, flows []Hash, now time.Time) error
	// DeleteBrowserSessions signs a subject out in every browser.
	DeleteBrowserSessions(ctx context.Context, issuer, subject string) error
}
