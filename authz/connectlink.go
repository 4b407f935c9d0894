package authz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ConnectPath starts the path of links on which a person connects a server.
const ConnectPath = "/oauth/connect/"

// ConnectLinkLifetime is how long a link works on which somebody connects.
const ConnectLinkLifetime = 15 * time.Minute

// Errors of a connect link.
var (
	ErrLinkInvalid = errors.New("authz: no such link")         // 400
	ErrLinkExpired = errors.New("authz: the link has expired") // 410
	ErrLinkUsed    = errors.New("authz: the link was used")    // 410
)

// ConnectLink is what a link to the connect page stands for.
type ConnectLink struct {
	// Subject is whose connection it is about, Proof what proved who they are.
	Subject string `json:"u"`
	Proof   string `json:"p,omitempty"`
	Server  string `json:"s"`
	// Scopes are missing at the provider, besides what the server always needs.
	Scopes []string `json:"o,omitempty"`
	// ExpiresAt is in seconds.
	ExpiresAt int64 `json:"e"`
	// Once names a link that connects at most one account: one for
	// storage.SharedOwner, which is its own proof. Zero for any other.
	Once storage.Hash `json:"-"`
}

// IsFor reports whether the link was made for the person.
func (l *ConnectLink) IsFor(id storage.Identity) bool {
	return l.Subject == id.Subject && l.Proof == id.Proof
}

// SharedConnectURL returns a link on which an operator connects a server for
// everybody.
func (as *AuthorizationServer) SharedConnectURL(server string) string {
	return as.ConnectURL(storage.Identity{Subject: storage.SharedOwner}, server)
}

// ConnectURL returns a link on which a person connects a server. It is sealed and so tells nobody whom it is for, and it proves
// nothing: whoever opens it must show to be that person (MCP elicitation, safe
// URL handling). Only one for storage.SharedOwner, which an operator asks for,
// is its own proof, and works once.
func (as *AuthorizationServer) ConnectURL(id storage.Identity, server string, scopes ...string) string {
	// Strings and a number always marshal.
	plain, _ := json.Marshal(ConnectLink{
		Subject: id.Subject, Proof: id.Proof, Server: server, Scopes: scopes,
		ExpiresAt: as.deps.Now().Add(ConnectLinkLifetime).Unix(),
	})
	ticket := as.deps.Keys.Seal(plain, "connect", as.cfg.Issuer)
	return as.cfg.Issuer + ConnectPath + base64.RawURLEncoding.EncodeToString(ticket)
}

// OpenConnectLink returns what the last segment of a link stands for. With
// ErrLinkExpired it still does.
func (as *AuthorizationServer) OpenConnectLink(ticket string) (*ConnectLink, error) {
	box, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		return nil, ErrLinkInvalid
	}
	plain, err := as.deps.Keys.Open(box, "connect", as.cfg.Issuer)
	if err != nil {
		return nil, ErrLinkInvalid
	}
	link := new(ConnectLink)
	if err := json.Unmarshal(plain, link); err != nil {
		return nil, ErrLinkInvalid
	}
	if link.Subject == storage.SharedOwner {
		link.Once = storage.HashOf(string(box))
	}
	if as.deps.Now().Unix() >= link.ExpiresAt {
		return link, ErrLinkExpired
	}
	return link, nil
}

// CheckLinkUnused returns ErrLinkUsed if the link has connected all that it
// can.
func (as *AuthorizationServer) CheckLinkUnused(ctx context.Context, link *ConnectLink) error {
	if link.Once == (storage.Hash{}) {
		return nil
	}
	used, err := as.deps.Store.Used(ctx, link.Once, as.deps.Now())
	if err != nil {
		return unavailable(err)
	}
	if used {
		return ErrLinkUsed
	}
	return nil
}
