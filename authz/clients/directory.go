package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// DirectoryDeps is what a directory works with.
type DirectoryDeps struct {
	Store storage.AuthStore
	// Egress fetches what unknown clients name: metadata documents and their keys.
	Egress *egress.Client
	// Documents keeps that, for every directory of the process.
	Documents *DocumentCache
	Limiter   *ratelimit.Limiter
	Events    *event.Recorder
	Now       func() time.Time
}

// Directory finds clients of every origin by their ID.
type Directory struct {
	issuer        string
	store         storage.AuthStore
	now           func() time.Time
	preregistered map[string]*Client
	documents     *metadataDocuments
	// keySets holds what the jwks_uri of clients lead to.
	keySets *documentSource[[]jose.JSONWebKey]
}

// NewDirectory returns the directory of one issuer.
func NewDirectory(cfg *config.Site, preregistered []Client, deps DirectoryDeps) *Directory {
	documents := newMetadataDocuments(cfg.Registration, &deps)
	d := &Directory{
		issuer: cfg.Issuer, store: deps.Store, now: deps.Now,
		preregistered: make(map[string]*Client, len(preregistered)),
		documents:     documents,
		keySets: newDocumentSource(&deps, documents.watched, deps.Documents.keySets, "", maxKeySetLen, func(_ string, body []byte) ([]jose.JSONWebKey, error) {
			return keyRules.Parse(body)
		}),
	}
	for i := range preregistered {
		d.preregistered[preregistered[i].ID] = &preregistered[i]
	}
	return d
}

// DocumentsFetchable reports whether metadata documents can be fetched, as far as
// is known.
func (d *Directory) DocumentsFetchable(ctx context.Context) bool { return d.documents.fetchable(ctx) }

// Lookup returns the client with the ID. An unknown one is an *Error
// invalid_client, one that cannot be had right now temporarily_unavailable; any
// other error is the store's. The client is shared: callers must not change it.
func (d *Directory) Lookup(ctx context.Context, id string, by Requester) (*Client, error) {
	event.Learn(ctx, event.Event{Client: id[:min(len(id), maxShownID)]})
	c, err := d.lookup(ctx, id, by)
	if err == nil {
		event.Learn(ctx, event.Event{ClientName: c.Metadata.ClientName})
	}
	return c, err
}

// maxShownID is how much of a client_id events have, which may be anything.
const maxShownID = 300

func (d *Directory) lookup(ctx context.Context, id string, by Requester) (*Client, error) {
	if c := d.preregistered[id]; c != nil {
		return c, nil
	}
	if isDocumentURL(id) {
		return d.documents.lookup(ctx, id, by)
	}
	return d.registered(ctx, id)
}

// registered returns a client that registered itself with this issuer.
func (d *Directory) registered(ctx context.Context, id string) (*Client, error) {
	record, err := d.Registration(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Client{ID: record.ID, Origin: Registered, SecretHash: record.SecretHash}
	if err := json.Unmarshal(record.Metadata, &c.Metadata); err != nil {
		return nil, err
	}
	c.Fingerprint = Fingerprint(&c.Metadata)
	return c, nil
}

// RegisteredID returns the ID if it is one that the store may know, else "".
func (d *Directory) RegisteredID(id string) string {
	if d.preregistered[id] != nil || len(id) != 36 || uuid.Validate(id) != nil {
		return ""
	}
	return id
}

// Registration returns the registration with the ID. What this server would never
// have given out costs no look-up.
func (d *Directory) Registration(ctx context.Context, id string) (storage.Client, error) {
	if d.RegisteredID(id) == "" {
		return storage.Client{}, unknownClient()
	}
	record, err := d.store.Client(ctx, id, d.now())
	if errors.Is(err, storage.ErrNotFound) || err == nil && record.Issuer != d.issuer {
		return storage.Client{}, unknownClient()
	}
	return record, err
}

func unknownClient() *oauth.Error {
	return &oauth.Error{Status: http.StatusBadRequest, Code: "invalid_client", Reason: "client_unknown", Description: "The client is not known here."}
}
