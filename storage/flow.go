package storage

import (
	"errors"
	"time"
)

// Flow is what a person has decided so far about one authorization request.
// The request itself is not here: it travels sealed with the browser, so
// unauthenticated requests leave nothing in the store.
type Flow struct {
	ID       string   `json:"id"` // also inside the sealed request
	Issuer   string   `json:"issuer"`
	Identity Identity `json:"identity"`
	// Browser is the hash of the cookie that binds the flow to one browser.
	Browser Hash `json:"browser,omitzero"`
	// Session is the browser session by which the person is known; zero if they
	// said in the flow who they are. The flow is worth nothing without it.
	Session Hash `json:"session,omitzero"`
	// Submitted marks a flow that ended in a grant or a refusal. It stays
	// until ExpiresAt so that a second submit is told apart from an expired one.
	Submitted bool      `json:"submitted"`
	ExpiresAt time.Time `json:"expires_at"`
}

// KnownBy is the session that the flow is worth nothing without, or nil.
func (f Flow) KnownBy() *Authentication {
	if f.Session == (Hash{}) {
		return nil
	}
	return &Authentication{Identity: f.Identity, Session: f.Session}
}

// Submission ends a flow.
type Submission struct {
	FlowID string
	Issuer string
	// Identity is whom the person saw on the page they submitted.
	Identity Identity
	// Session is that of the flow.
	Session Hash
	// Begins is the flow if nobody said yet who they are in it: it is saved first, as
	// SaveFlow does it, and the verdict is that of SaveFlow unless it is OK. Else nil.
	Begins *Flow
	Grant  *Grant // nil when the person refused
	Code   *Code  // nil when the person refused
	// Adopt are the connections made in this flow, sealed anew for their
	// owner. Each has the ID of the one that it replaces or, where the owner has
	// none for the server, of the flow's. Revision is the one of the flow's
	// connection it was made from; if that changed since, the owner has another
	// connection by now, or the flow one that is not here, the verdict is Changed.
	// The flow's connections are removed, also when the person refused.
	Adopt []ConnectionReplacement
	// Browser signs the browser of the person who approved in to the account
	// and connect pages; nil does not. It is Identity's.
	Browser    *SignIn
	KeepClient time.Duration
	// Quota is nil when the person proved who they are. Else anybody can have
	// made the grant, and its client counts towards the quota, not as used.
	Quota *Quota
	Now   time.Time
}

var (
	errSubmission = errors.New("storage: a submission needs both grant and code, or neither, that belong together and to whom it shows")
	errBegins     = errors.New("storage: only the flow that is submitted begins with it, and as whose it is submitted")
	errBrowser    = errors.New("storage: only whoever approves is signed in with the submission, and not who was already")
	errAdopt      = errors.New("storage: what a flow connected goes, once per server, to the subject that submits it")
)

// Check refuses a submission whose parts do not belong together, before
// any store looks at what it has.
func (sub Submission) Check() error {
	if (sub.Grant == nil) != (sub.Code == nil) || sub.Grant != nil && (sub.Code.GrantID != sub.Grant.ID || !sub.Grant.Identity.Same(sub.Identity)) {
		return errSubmission
	}
	if f := sub.Begins; f != nil && (f.ID != sub.FlowID || f.Issuer != sub.Issuer || f.Session != sub.Session || !f.Identity.Same(sub.Identity)) {
		return errBegins
	}
	if b := sub.Browser; b != nil && (sub.Grant == nil || sub.Session != (Hash{}) || b.Issuer != sub.Issuer || !b.Identity.Same(sub.Identity)) {
		return errBrowser
	}
	if sub.Grant != nil {
		if err := CheckChosen(sub.Grant.Chosen, sub.Grant.Resources); err != nil {
			return err
		}
	}
	return sub.checkAdopt()
}

// checkAdopt refuses connections that nobody approved, or somebody else did.
func (sub Submission) checkAdopt() error {
	if sub.Grant == nil {
		if len(sub.Adopt) > 0 {
			return errAdopt
		}
		return nil
	}
	servers := make(map[string]bool, len(sub.Adopt))
	for _, c := range sub.Adopt {
		if c.ID == "" || c.Server == "" || servers[c.Server] || c.Issuer != sub.Issuer || c.Owner != sub.Identity.Subject {
			return errAdopt
		}
		servers[c.Server] = true
	}
	return nil
}
