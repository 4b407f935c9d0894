package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// checkRoom refuses to connect one more account at a server than a person can have.
// It is asked before anything is sent, and bounds what a person can store: who
// connects two at the same moment may get one more.
func (cn *connector) checkRoom(ctx context.Context, s *config.Server, k storage.ConnectionKey, p storage.Authentication) error {
	if !s.HasAccounts() {
		return nil
	}
	owners := []string{k.Owner}
	if p.FlowID != "" { // whose connections become the person's
		owners = append(owners, p.Identity.Subject)
	}
	var have []string
	for _, owner := range owners {
		connections, err := cn.deps.Store.ConnectionsOf(ctx, cn.cfg.Issuer, owner, cn.deps.Now())
		if err != nil {
			return err
		}
		for _, c := range connections {
			if id, _ := config.SplitID(c.Server); id == s.ID && !slices.Contains(have, c.Server) {
				have = append(have, c.Server)
			}
		}
	}
	if len(have) >= *s.Auth.MaxAccounts && !slices.Contains(have, k.Server) {
		return client.Errorf(TooManyAccounts, "there are %d accounts at the server", len(have))
	}
	return nil
}

// checkDomain refuses an account that the operator does not expect.
func checkDomain(s *config.Server, account client.Account) error {
	if len(s.Auth.ExpectDomain) == 0 {
		return nil
	}
	told := false
	for _, address := range account.Addresses {
		domain, ok := identity.EmailDomain(address)
		if ok && slices.Contains(s.Auth.ExpectDomain, domain) {
			return nil
		}
		told = told || ok
	}
	if !told {
		return client.Errorf(AccountUntold, "the provider tells no e-mail address of the account, which expect_domain needs; add openid and email to scopes, or set account_name to a member that has it")
	}
	return client.Errorf(WrongAccount, "the account is not of %s", strings.Join(s.Auth.ExpectDomain, " or "))
}

// maxLabel is how many characters a person can call an account by.
const maxLabel = 40

// ErrLabel: an account cannot be called so.
var ErrLabel = errors.New("upstream: an account cannot be called so")

// renamePauses are between the tries to name a connection that is being refreshed.
var renamePauses = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second}

// Rename has the owner's account at a server called something else on the pages;
// "" for what the provider calls it. What it is called decides nothing.
func (cs *connections) Rename(ctx context.Context, owner, server, label string) error {
	if label = strings.TrimSpace(label); label != "" {
		clean, err := identity.CleanName(label)
		if err != nil || len([]rune(clean)) > maxLabel {
			return ErrLabel
		}
	}
	for try := 0; ; try++ {
		renamed, err := cs.rename(ctx, cs.keyOf(owner, server), label)
		if err != nil || renamed {
			return err
		}
		if try == len(renamePauses) {
			return fmt.Errorf("upstream: the connection %s is busy: %w", server, ErrUnavailable)
		}
		if err := cs.pause(ctx, renamePauses[try]); err != nil {
			return err
		}
	}
}

// rename reports false if the connection changed meanwhile, or is being refreshed: to
// store it then would take the new tokens from who refreshes it.
func (cs *connections) rename(ctx context.Context, k storage.ConnectionKey, label string) (renamed bool, err error) {
	now := cs.deps.Now()
	c, err := cs.find(ctx, k)
	switch {
	case err != nil:
		return false, err
	case c.ID == "":
		return false, ErrNotConnected
	case c.Lease != "":
		return false, nil
	}
	opened, err := cs.openConnection(c)
	if err != nil || opened.Label == label {
		return err == nil, err
	}
	opened.Label = label
	c.Secret, c.UpdatedAt = cs.sealSecrets(k, c.ID, opened), now
	_, verdict, err := cs.deps.Store.PutConnection(ctx, c, now)
	if err != nil || verdict != storage.OK {
		return false, err
	}
	cs.deps.Shared.Forget(k)
	return true, nil
}

// labelOf returns what the owner calls a connection, which another is about to
// replace; "" if there is none.
func (cs *connections) labelOf(c storage.Connection) string {
	if c.ID == "" {
		return ""
	}
	opened, err := cs.openSecrets(c)
	if err != nil { // it is replaced, so nobody needs to hear
		return ""
	}
	return opened.Label
}

// status returns the status of a connection at a server, or of an account there.
func (v *statuses) status(s *config.Server, c storage.Connection, now time.Time) Status {
	status := Status{Server: c.Server, Owner: c.Owner, ID: c.ID, Scopes: c.Scopes, Since: c.CreatedAt, ExpiresAt: c.TokenExpiresAt}
	var opened secrets
	status.State, opened = v.look(s, c, now)
	status.Account, status.Label = opened.Account, opened.Label
	return status
}
