package storage

import "time"

// BrowserSession is a person signed in to the account and connect pages.
type BrowserSession struct {
	Hash Hash `json:"-"` // of the cookie
	// Replaces is the session that the browser had before and that ends when
	// this one is stored; zero if it had none. It is not kept.
	Replaces Hash `json:"-"`
	// Flows are the hashes of the browser's flow cookies. If the session before
	// was somebody else's, the flows of that person among them end. They are not kept.
	Flows []Hash `json:"-"`
	// EndsOthers tells that whoever signs in is somebody in particular: of Flows,
	// those of everybody else end, signed in before or not. It is not kept.
	EndsOthers bool `json:"-"`
	// Quota is nil for a person who proved who they are. Else anybody can have
	// made the session, and beyond the quota the oldest end. It is not kept.
	Quota     *Quota    `json:"-"`
	Issuer    string    `json:"issuer"`
	Identity  Identity  `json:"identity"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}
