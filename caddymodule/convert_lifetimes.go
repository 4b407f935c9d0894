package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

// maxLifetime bounds what is certainly a slip: with it, times stay within what
// all stores and clients can write.
const maxLifetime = 10 * 365 * 24 * time.Hour

func (h *Handler) convertLifetimes(cfg *authz.Config, _ resolver) error {
	l := authz.DefaultLifetimes
	for _, f := range []struct {
		path  string
		value caddy.Duration
		most  time.Duration
		to    *time.Duration
	}{
		{"access_token_lifetime", h.AccessTokenLifetime, maxLifetime, &l.AccessToken},
		{"refresh_token_lifetime", h.RefreshTokenLifetime, maxLifetime, &l.RefreshToken},
		{"grant_lifetime", h.GrantLifetime, maxLifetime, &l.Grant},
		{"absolute_grant_lifetime", h.AbsoluteGrantLifetime, maxLifetime, &l.AbsoluteGrant},
		{"flow_lifetime", h.FlowLifetime, 24 * time.Hour, &l.Flow},
		{"code_lifetime", h.CodeLifetime, time.Hour, &l.Code},
	} {
		if err := convertLifetime(f.path, f.value, time.Second, f.most, f.to); err != nil {
			return err
		}
	}
	if err := h.checkRefreshLifetime(l); err != nil {
		return err
	}
	cfg.Lifetimes = l
	cfg.RefreshReuseGrace = authz.DefaultRefreshReuseGrace
	if h.RefreshReuseGrace != nil {
		cfg.RefreshReuseGrace = time.Duration(*h.RefreshReuseGrace)
	}
	if cfg.RefreshReuseGrace < 0 || cfg.RefreshReuseGrace > time.Hour {
		return wrong("refresh_reuse_grace", "must be between 0 and 1h")
	}
	return nil
}

func convertLifetime(path string, value caddy.Duration, least, most time.Duration, to *time.Duration) error {
	switch d := time.Duration(value); {
	case d == 0:
	case d < least:
		return wrong(path, "%s", tooShort(least))
	case d > most:
		return wrong(path, "must be at most %s", days(most))
	default:
		*to = d
	}
	return nil
}

func tooShort(least time.Duration) string { return "must be at least " + days(least) }

// checkRefreshLifetime refuses a refresh token that is of no use, because it
// ends before the access token that it is to renew.
func (h *Handler) checkRefreshLifetime(l authz.Lifetimes) error {
	if l.RefreshToken >= l.AccessToken {
		return nil
	}
	if h.RefreshTokenLifetime != 0 {
		return wrong("refresh_token_lifetime", "must not be shorter than access_token_lifetime, which is %s", days(l.AccessToken))
	}
	return wrong("access_token_lifetime", "must not be longer than refresh_token_lifetime, which is %s", days(l.RefreshToken))
}

// days writes a duration as people write it in a configuration.
func days(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return d.String()
}
