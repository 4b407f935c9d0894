package storetest

import (
	"context"
	"fmt"
	"maps"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// everyCall returns one call of each method but Close.
func (f *fixture) everyCall() map[string]func() error { return f.calls(context.Background()) }

// endedCalls is everyCall with a context that ended.
func (f *fixture) endedCalls() map[string]func() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return f.calls(ended)
}

func (f *fixture) calls(c context.Context) map[string]func() error {
	s := f.store
	calls := map[string]func() error{
		"CreateClient":       func() error { return s.CreateClient(c, f.client("z"), storage.Unused{Max: 1}) },
		"Client":             func() error { return second(s.Client(c, "a", f.now)) },
		"UpdateClient":       func() error { return second(s.UpdateClient(c, f.client("a"), storage.Hash{}, true, f.now)) },
		"DeleteClient":       func() error { return second(s.DeleteClient(c, "a", f.now)) },
		"SaveFlow":           func() error { return second(s.SaveFlow(c, f.flow("9"), f.now)) },
		"Flow":               func() error { return second(s.Flow(c, "1", f.now)) },
		"SubmitFlow":         func() error { return second(s.SubmitFlow(c, f.submission("1", "a"))) },
		"Code":               func() error { return second(s.Code(c, hash("code 1"), f.now)) },
		"ClaimCode":          func() error { return second(s.ClaimCode(c, f.claim("1", "a"))) },
		"RefreshToken":       func() error { _, _, err := s.RefreshToken(c, hash("refresh 1 0"), f.now); return err },
		"RotateRefreshToken": func() error { return second(s.RotateRefreshToken(c, f.rotation("1", "a", 1))) },
		"AccessToken":        func() error { return second(s.AccessToken(c, hash("access 1 0"), f.now)) },
		"RevokeAccessToken":  func() error { return second(s.RevokeAccessToken(c, hash("access 1 0"), issuer, "a")) },
		"RevokeGrant":        func() error { return second(s.RevokeGrant(c, "g-1", f.now)) },
		"Grant":              func() error { return second(s.Grant(c, "g-1", f.now)) },
		"Grants":             func() error { _, _, err := s.Grants(c, "", 1, f.now); return err },
		"UseOnce":            func() error { return second(s.UseOnce(c, hash("jti"), f.now.Add(1), f.now)) },
		"Used":               func() error { return second(s.Used(c, hash("jti"), f.now)) },
		"PutSiteValue":       func() error { return s.PutSiteValue(c, f.siteValue("a")) },
		"SiteValue":          func() error { return second(s.SiteValue(c, issuer, "a", f.now)) },
		"Sweep":              func() error { return second(s.Sweep(c, f.now)) },
	}
	maps.Copy(calls, f.connectionCalls(c))
	return calls
}

func second[T any](_ T, err error) error { return err }

// wants makes another verdict an error.
func wants(want storage.Verdict) func(storage.Verdict, error) error {
	return func(got storage.Verdict, err error) error {
		if err == nil && got != want {
			err = fmt.Errorf("verdict %v, want %v", got, want)
		}
		return err
	}
}

func (f *fixture) claims(c storage.CodeClaim, want storage.Verdict) error {
	res, err := f.store.ClaimCode(ctx(), c)
	return wants(want)(res.Verdict, err)
}

func (f *fixture) rotates(r storage.Rotation, want storage.Verdict) error {
	res, err := f.store.RotateRefreshToken(ctx(), r)
	return wants(want)(res.Verdict, err)
}
