package flows

import (
	"context"
	"net/url"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// elsewhereCodeLifetime is how long a code lives for which a person approved on
// another page: that takes it to the client, perhaps past a person.
const elsewhereCodeLifetime = 10 * time.Minute

// Answer is what a client gets to hear of a person.
type Answer struct {
	Code string // empty if the person refused
	// URL is the redirect URI with the answer.
	URL string
}

// Expect notes that a person decides about a client somewhere else.
func (fs *Flows) Expect(c *clients.Client) { fs.pending.note(c) }

// Elsewhere returns the flow of a person who decides on another page, which vouches
// for them. It is bound to no browser.
func (fs *Flows) Elsewhere(req *AuthorizationRequest, id storage.Identity) *Flow {
	return &Flow{
		ID: newFlowID(), Client: req.Client, RedirectURI: req.RedirectURI, State: req.State, Challenge: req.Challenge,
		Scope: req.Scope, Resources: req.Resources, ExpiresAt: fs.deps.Now().Add(elsewhereCodeLifetime), Identity: &id,
		codeLifetime: elsewhereCodeLifetime,
	}
}

// ApproveElsewhere ends a flow of Elsewhere with a grant. Of the servers that the
// client named, or the person chose, those count as connected that the person has
// connected before. What the person left out of the scope, the other page has left
// out of the request.
func (fs *Flows) ApproveElsewhere(ctx context.Context, f *Flow, resources []string) (Answer, error) {
	connected, err := fs.Connected(ctx, *f.Identity)
	if err != nil {
		return Answer{}, err
	}
	if err := fs.Identify(ctx, f, *f.Identity); err != nil {
		return Answer{}, err
	}
	return fs.approve(ctx, f, Approval{Resources: resources, Scope: fs.OptionalScope(f), Connected: connected}, nil)
}

// DenyElsewhere returns what tells the client that the person refused.
func (fs *Flows) DenyElsewhere(ctx context.Context, f *Flow) Answer {
	fs.deps.Events.Record(ctx, f.about(event.Event{Kind: event.ConsentDenied, By: event.ByPerson}))
	return Answer{URL: fs.answerURL(f, url.Values{"error": {"access_denied"}})}
}

// Connected returns the servers that a person has connected for good.
func (fs *Flows) Connected(ctx context.Context, id storage.Identity) ([]string, error) {
	if fs.deps.Connections == nil {
		return nil, nil
	}
	connected, err := fs.deps.Connections.Connected(ctx, id.Subject)
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return connected, nil
}
