package boltstore

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// oldReads returns how each record is read, by its name.
func oldReads(t *testing.T, s *Store) map[string]func() (any, error) {
	ctx := t.Context()
	reads := map[string]func() (any, error){
		"flow 0":          func() (any, error) { return s.Flow(ctx, "flow 0", oldNow) },
		"grants of alice": func() (any, error) { return s.GrantsOf(ctx, oldIssuer, oldAlice.Subject, oldNow) },
		"last grant of alice": func() (any, error) {
			return s.LastGrant(ctx, oldIssuer, oldAlice.Subject, "client 1", oldNow)
		},
		"used":            func() (any, error) { return s.Used(ctx, storage.HashOf("jti"), oldNow) },
		"upstream client": func() (any, error) { return s.UpstreamClient(ctx, oldIssuer, oldProvider, "linear", oldNow) },
		"connections of alice": func() (any, error) {
			return s.ConnectionsOf(ctx, oldIssuer, oldAlice.Subject, oldNow)
		},
	}
	for _, n := range []string{"1", "2", "3"} {
		reads["client "+n] = func() (any, error) { return s.Client(ctx, "client "+n, oldNow) }
	}
	for _, n := range []string{"1", "2", "3", "4"} {
		reads["flow "+n] = func() (any, error) { return s.Flow(ctx, "flow "+n, oldNow) }
		reads["grant "+n] = func() (any, error) { return s.Grant(ctx, "grant "+n, oldNow) }
		reads["code "+n] = func() (any, error) { return s.Code(ctx, storage.HashOf("code "+n), oldNow) }
	}
	for _, n := range []string{"1a", "1b"} {
		reads["access "+n] = func() (any, error) { return s.AccessToken(ctx, storage.HashOf("access "+n), oldNow) }
	}
	for _, n := range []string{"1a", "1b", "2a"} {
		reads["refresh "+n] = func() (any, error) {
			token, _, err := s.RefreshToken(ctx, storage.HashOf("refresh "+n), oldNow)
			return token, err
		}
	}
	for _, n := range []string{"1", "2", "3", "4", "6"} {
		reads["connection "+n] = func() (any, error) { return s.ConnectionByID(ctx, oldIssuer, "connection "+n, oldNow) }
	}
	for _, n := range []string{"1", "2"} {
		reads["session "+n] = func() (any, error) { return s.BrowserSession(ctx, storage.HashOf("session "+n), oldNow) }
	}
	return reads
}

// oldRecords returns every record by its name.
func oldRecords() map[string]any {
	records := oldConnections()
	maps.Copy(records, oldGrants())
	records["client 1"] = oldClient("1", func(c *storage.Client) { c.Used, c.ExpiresAt = true, oldYear.Add(time.Hour) })
	records["client 2"] = oldClient("2", func(c *storage.Client) {
		address := storage.HashOf("address")
		c.Quota, c.ApprovedAt, c.ExpiresAt = &address, oldNow, oldYear.Add(time.Hour)
	})
	records["client 3"] = oldClient("3", func(*storage.Client) {})
	records["flow 0"] = storage.Flow{ID: "flow 0", Issuer: oldIssuer, Identity: oldAlice, ExpiresAt: oldHour}
	for n, who := range map[string]storage.Identity{"1": oldAlice, "2": oldAlice, "3": oldAlice, "4": nobody} {
		records["flow "+n] = storage.Flow{ID: "flow " + n, Issuer: oldIssuer, Identity: who, Submitted: true, ExpiresAt: oldHour}
	}
	for n, who := range map[string]storage.Identity{"1": oldAlice, "2": nobody} {
		records["session "+n] = storage.BrowserSession{
			Hash: storage.HashOf("session " + n), Issuer: oldIssuer, Identity: who, CreatedAt: oldNow, ExpiresAt: oldMonth,
		}
	}
	records["used"] = true
	return records
}

func oldClient(n string, with func(*storage.Client)) storage.Client {
	id, secret := "client "+n, storage.HashOf("client secret")
	c := storage.Client{
		ID: id, Issuer: oldIssuer, Metadata: json.RawMessage(`{"client_name":"` + id + `"}`),
		SecretHash: &secret, RegistrationTokenHash: storage.HashOf("registration token of " + id), CreatedAt: oldNow, ExpiresAt: oldMonth,
	}
	with(&c)
	return c
}

func oldGrants() map[string]any {
	grant := func(n, client string, who storage.Identity) storage.Grant {
		return storage.Grant{
			ID: "grant " + n, Issuer: oldIssuer, ClientID: client, Identity: who, Scope: []string{"mcp", "offline_access"},
			Resources: []string{oldIssuer + "/notion", oldIssuer + "/github"}, ResourcesRequested: true,
			RedirectURI: oldRedirect, ClientName: "Name of " + client,
			CreatedAt: oldNow, ExpiresAt: oldMonth, AbsoluteExpiresAt: oldYear, LastUsedAt: oldNow,
		}
	}
	code := func(n, client string) storage.Code {
		return storage.Code{
			Hash: storage.HashOf("code " + n), GrantID: "grant " + n, Issuer: oldIssuer, ClientID: client,
			RedirectURI: oldRedirect, Challenge: "challenge", ExpiresAt: oldHour, Claimed: n < "3", ProofFailed: n == "3",
		}
	}
	one, two := grant("1", "client 1", oldAlice), grant("2", "client 1", oldAlice)
	refresh1a, refresh1b, refresh2a := *oldIssue("1", "a", "client 1", oldAlice).Refresh, *oldIssue("1", "b", "client 1", oldAlice).Refresh, *oldIssue("2", "a", "client 1", oldAlice).Refresh
	refresh1a.RotatedAt, refresh1a.Successor = oldNow, &refresh1b.Hash
	one.AccessTokens, one.RefreshToken = []storage.Hash{storage.HashOf("access 1a"), storage.HashOf("access 1b")}, &refresh1b.Hash
	two.RevokedAt = oldNow
	three := grant("3", "client 1", oldAlice)
	return map[string]any{
		"grant 1": one, "grant 2": two, "grant 3": three, "grant 4": grant("4", "client 2", nobody),
		"grants of alice": []storage.Grant{one, three}, "last grant of alice": three,
		"code 1": code("1", "client 1"), "code 2": code("2", "client 1"), "code 3": code("3", "client 1"), "code 4": code("4", "client 2"),
		"access 1a":  oldIssue("1", "a", "client 1", oldAlice).Access,
		"access 1b":  oldIssue("1", "b", "client 1", oldAlice).Access,
		"refresh 1a": refresh1a, "refresh 1b": refresh1b, "refresh 2a": refresh2a,
	}
}

func oldIssue(n, generation, client string, who storage.Identity) storage.Issue {
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: storage.HashOf("access " + n + generation), GrantID: "grant " + n, Issuer: oldIssuer, ClientID: client, Identity: who,
			Scope: []string{"mcp"}, Audience: []string{oldIssuer + "/notion"}, IssuedAt: oldNow, ExpiresAt: oldHour,
		},
		Refresh: &storage.RefreshToken{
			Hash: storage.HashOf("refresh " + n + generation), GrantID: "grant " + n, Issuer: oldIssuer, ClientID: client, ExpiresAt: oldMonth,
		},
		GrantExpiresAt: oldMonth,
	}
}

func oldConnections() map[string]any {
	connection := func(n, owner, server string, state storage.ConnectionState, secret string) storage.Connection {
		return storage.Connection{
			ConnectionKey: storage.ConnectionKey{Issuer: oldIssuer, Owner: owner, Server: server},
			ID:            "connection " + n, State: state, Secret: []byte(secret), CreatedAt: oldNow, UpdatedAt: oldNow, Revision: 1,
		}
	}
	adopted := connection("1", oldAlice.Subject, "notion", storage.Active, "sealed for alice")
	adopted.Provider, adopted.Scopes, adopted.TokenExpiresAt = oldProvider, []string{"read", "write"}, oldHour
	leased := connection("2", oldAlice.Subject, "github", storage.Active, "pasted")
	leased.Lease, leased.LeaseUntil, leased.Revision = "holder", oldHour, 2
	unfinished := connection("3", storage.FlowOwner("flow 0"), "github", storage.Active, "unfinished")
	unfinished.ExpiresAt, unfinished.OnExpiry = oldHour, &storage.ProviderRevocation{
		ID: "revocation 1", Issuer: oldIssuer, Server: "linear", Secret: []byte("sealed tokens of revocation 1"), DueAt: oldNow, ExpiresAt: oldMonth,
	}
	shared := connection("4", storage.SharedOwner, "linear", storage.NeedsReauth, "")
	shared.Secret = nil
	return map[string]any{
		"connection 1": adopted, "connection 2": leased, "connection 3": unfinished, "connection 4": shared,
		"connection 6":         connection("6", nobody.Subject, "linear", storage.InDoubt, "in doubt"),
		"connections of alice": []storage.Connection{leased, adopted},
		"upstream client": storage.UpstreamClient{
			Issuer: oldIssuer, Provider: oldProvider, Server: "linear", Secret: []byte("sealed client"), CreatedAt: oldNow, ExpiresAt: oldYear,
		},
	}
}

func oldConnectState() storage.ConnectState {
	return storage.ConnectState{
		Hash: storage.HashOf("state"), ConnectionKey: storage.ConnectionKey{Issuer: oldIssuer, Owner: oldAlice.Subject, Server: "linear"},
		Browser: storage.HashOf("cookie"), Provider: oldProvider, Secret: []byte("sealed verifier"), ExpiresAt: oldHour,
	}
}
