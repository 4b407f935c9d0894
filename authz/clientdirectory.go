package authz

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// clientDirectory finds clients of every origin by their ID.
type clientDirectory struct {
	issuer        string
	store         storage.AuthStore
	now           func() time.Time
	preregistered map[string]*Client
	documents     *metadataDocuments
	// keySets holds what the jwks_uri of clients lead to.
	keySets *documentSource[[]jose.JSONWebKey]
}

// newClientDirectory returns the directory of one issuer.
func newClientDirectory(cfg *config.Site, deps *Deps) *clientDirectory {
	documents := newMetadataDocuments(cfg.Registration, deps)
	d := &clientDirectory{
		issuer: cfg.Issuer, store: deps.Store, now: deps.Now,
		preregistered: make(map[string]*Client, len(deps.Clients)),
		documents:     documents,
		keySets: newDocumentSource(deps, documents.publishers, deps.Documents.keySets, "", maxKeySetLen, func(_ string, body []byte) ([]jose.JSONWebKey, error) {
			return parseKeySet(body)
		}),
	}
	for i := range deps.Clients {
		d.preregistered[deps.Clients[i].ID] = &deps.Clients[i]
	}
	return d
}

// lookup returns the client with the ID. An unknown one is an *Error
// invalid_client, one that cannot be had right now temporarily_unavailable; any
// other error is the store's. The client is shared: callers must not change it.
func (d *clientDirectory) lookup(ctx context.Context, id string, by requester) (*Client, error) {
	if c := d.preregistered[id]; c != nil {
		return c, nil
	}
	if isDocumentURL(id) {
		return d.documents.lookup(ctx, id, by)
	}
	return d.registered(ctx, id)
}

// registered returns a client that registered itself with this issuer.
func (d *clientDirectory) registered(ctx context.Context, id string) (*Client, error) {
	record, err := d.record(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Client{ID: record.ID, Origin: Registered, SecretHash: record.SecretHash}
	if err := json.Unmarshal(record.Metadata, &c.Metadata); err != nil {
		return nil, err
	}
	c.Fingerprint = fingerprint(&c.Metadata)
	return c, nil
}

// record returns the registration with the ID. What this server would never
// have given out costs no look-up.
func (d *clientDirectory) record(ctx context.Context, id string) (storage.Client, error) {
	if len(id) != 36 || uuid.Validate(id) != nil {
		return storage.Client{}, unknownClient()
	}
	record, err := d.store.Client(ctx, id, d.now())
	if errors.Is(err, storage.ErrNotFound) || err == nil && record.Issuer != d.issuer {
		return storage.Client{}, unknownClient()
	}
	return record, err
}

func unknownClient() *oauth.Error {
	return &oauth.Error{Status: http.StatusBadRequest, Code: "invalid_client", Description: "The client is not known here."}
}
