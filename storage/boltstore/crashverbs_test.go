//go:build linux && (amd64 || arm64)

package boltstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const crashIssuer = "https://a.example"

// verb calls one of the verbs that change the most records, or the largest ones.
func (l *life) verb(s storage.Store) error {
	ctx, now := background(), l.now
	l.n++
	id := fmt.Sprint(l.n)
	switch l.rand.IntN(8) {
	case 0, 1, 2:
		return l.signIn(s, id)
	case 3:
		_, err := s.UseOnce(ctx, storage.HashOf("value "+id), now.Add(time.Hour), now)
		return err
	case 4: // on more than one page
		return s.CreateClient(ctx, l.client("large "+id, strings.Repeat("x", l.rand.IntN(20_000))), storage.Unused{})
	case 5:
		if _, err := s.DeleteClient(ctx, fmt.Sprint("client ", l.rand.IntN(l.n)), now); err != storage.ErrNotFound {
			return err
		}
		return nil
	case 6:
		_, err := s.RotateRefreshToken(ctx, storage.Rotation{
			Hash: storage.HashOf(fmt.Sprint("refresh ", l.rand.IntN(l.n))), Issuer: crashIssuer, ClientID: "client " + id, Grace: time.Minute,
			Issue: l.issue(id+" again", "nobody"), Replay: []byte("response"), Now: now,
		})
		return err
	default:
		l.now = l.now.Add(20 * time.Minute)
		_, err := s.Sweep(ctx, l.now)
		return err
	}
}

// signIn takes a client to its second tokens.
func (l *life) signIn(s storage.Store, id string) error {
	ctx, now, client := background(), l.now, "client "+id
	if err := s.CreateClient(ctx, l.client(client, "a client"), storage.Unused{}); err != nil {
		return err
	}
	alice := storage.Identity{Subject: "virtual_key:alice", Kind: "virtual_key"}
	if _, err := s.SaveFlow(ctx, storage.Flow{ID: id, Issuer: crashIssuer, Identity: alice, ExpiresAt: now.Add(15 * time.Minute)}, now); err != nil {
		return err
	}
	const uri, challenge = "http://127.0.0.1/cb", "challenge"
	grant := &storage.Grant{
		ID: "grant " + id, Issuer: crashIssuer, ClientID: client, Identity: alice, Scope: []string{"mcp:use"}, Resources: []string{"https://a.example/mcp"},
		RedirectURI: uri, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(24 * time.Hour), AbsoluteExpiresAt: now.Add(90 * 24 * time.Hour),
	}
	code := &storage.Code{
		Hash: storage.HashOf("code " + id), GrantID: grant.ID, Issuer: crashIssuer, ClientID: client,
		RedirectURI: uri, Challenge: challenge, ExpiresAt: now.Add(5 * time.Minute),
	}
	if _, err := s.SubmitFlow(ctx, storage.Submission{FlowID: id, Issuer: crashIssuer, Identity: alice, KeepClient: time.Hour, Now: now, Grant: grant, Code: code}); err != nil {
		return err
	}
	if _, err := s.ClaimCode(ctx, storage.CodeClaim{
		Hash: code.Hash, Issuer: crashIssuer, ClientID: client, RedirectURI: uri, Challenge: challenge, Issue: l.issue(id, grant.ID), Now: now,
	}); err != nil {
		return err
	}
	_, err := s.RotateRefreshToken(ctx, storage.Rotation{
		Hash: storage.HashOf("refresh " + id), Issuer: crashIssuer, ClientID: client, Grace: time.Minute,
		Issue: l.issue(id+" again", grant.ID), Replay: []byte("response"), Now: now,
	})
	return err
}

func (l *life) client(id, name string) storage.Client {
	return storage.Client{
		ID: id, Issuer: crashIssuer, Metadata: json.RawMessage(fmt.Sprintf(`{"client_name":%q}`, name)),
		RegistrationTokenHash: storage.HashOf("registration " + id), CreatedAt: l.now, ExpiresAt: l.now.Add(24 * time.Hour),
	}
}

// issue is a token response.
func (l *life) issue(id, grant string) storage.Issue {
	now, client := l.now, "client "+strings.TrimSuffix(id, " again")
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: storage.HashOf("access " + id), GrantID: grant, Issuer: crashIssuer, ClientID: client,
			Identity: storage.Identity{Subject: "virtual_key:alice", Kind: "virtual_key"},
			Scope:    []string{"mcp:use"}, Audience: []string{"https://a.example/mcp"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: storage.HashOf("refresh " + id), GrantID: grant, Issuer: crashIssuer, ClientID: client, ExpiresAt: now.Add(30 * 24 * time.Hour),
		},
		GrantExpiresAt: now.Add(30 * 24 * time.Hour),
	}
}
