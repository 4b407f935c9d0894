package storetest

import (
	"context"
	"maps"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
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
	s := f.Store
	calls := map[string]func() error{
		"CreateClient":       func() error { return s.CreateClient(c, f.Client("z"), storage.Unused{Max: 1}) },
		"Client":             func() error { return second(s.Client(c, "a", f.Now)) },
		"UpdateClient":       func() error { return second(s.UpdateClient(c, f.Client("a"), storage.Hash{}, true, f.Now)) },
		"DeleteClient":       func() error { return second(s.DeleteClient(c, "a", f.Now)) },
		"SaveFlow":           func() error { return second(s.SaveFlow(c, f.Flow("9"), f.Now)) },
		"Flow":               func() error { return second(s.Flow(c, "1", f.Now)) },
		"SubmitFlow":         func() error { return second(s.SubmitFlow(c, f.Submission("1", "a"))) },
		"Code":               func() error { return second(s.Code(c, suite.Hash("code 1"), f.Now)) },
		"ClaimCode":          func() error { return second(s.ClaimCode(c, f.Claim("1", "a"))) },
		"RefreshToken":       func() error { _, _, err := s.RefreshToken(c, suite.Hash("refresh 1 0"), f.Now); return err },
		"RotateRefreshToken": func() error { return second(s.RotateRefreshToken(c, f.Rotation("1", "a", 1))) },
		"IssueGrant":         func() error { return second(s.IssueGrant(c, f.ServiceGrant("9", 1))) },
		"AccessToken":        func() error { return second(s.AccessToken(c, suite.Hash("access 1 0"), f.Now)) },
		"RevokeAccessToken": func() error {
			return second(s.RevokeAccessToken(c, suite.Hash("access 1 0"), suite.Issuer, "a", f.Now))
		},
		"RevokeGrant":      func() error { return second(s.RevokeGrant(c, "g-1", f.Now)) },
		"ChangeGrant":      func() error { return second(s.ChangeGrant(c, f.Change("1", "delete"))) },
		"Grant":            func() error { return second(s.Grant(c, "g-1", f.Now)) },
		"LastGrant":        func() error { return second(s.LastGrant(c, suite.Issuer, suite.Alice.Subject, "a", f.Now)) },
		"Grants":           func() error { return list(s.Grants(c, "", 1, f.Now)) },
		"GrantsOfClient":   func() error { return list(s.GrantsOfClient(c, suite.Issuer, "a", "", 1, f.Now)) },
		"Clients":          func() error { return list(s.Clients(c, "", 1, f.Now)) },
		"UseOnce":          func() error { return second(s.UseOnce(c, suite.Hash("jti"), f.Now.Add(1), f.Now)) },
		"Used":             func() error { return second(s.Used(c, suite.Hash("jti"), f.Now)) },
		"PutSiteValue":     func() error { return s.PutSiteValue(c, f.SiteValue("a")) },
		"ReplaceSiteValue": func() error { return second(s.ReplaceSiteValue(c, f.SiteValue("b"), "", f.Now)) },
		"SiteValue":        func() error { return second(s.SiteValue(c, suite.Issuer, "a", f.Now)) },
		"ReplaceSealed":    func() error { return second(s.ReplaceSealed(c, "", 1, suite.AnotherSeal)) },
		"Empty":            func() error { return second(s.Empty(c)) },
		"Check":            func() error { return s.Check(c) },
		"Usage":            func() error { return second(s.Usage(c, f.Now)) },
		"Sweep":            func() error { return second(s.Sweep(c, f.Now)) },
	}
	maps.Copy(calls, f.connectionCalls(c))
	maps.Copy(calls, f.virtualKeyCalls(c))
	maps.Copy(calls, f.personCalls(c))
	return calls
}

func (f *fixture) virtualKeyCalls(c context.Context) map[string]func() error {
	s := f.Store
	return map[string]func() error{
		"VirtualKeys":          func() error { _, _, err := s.VirtualKeys(c, suite.Issuer); return err },
		"LastVirtualKeyChange": func() error { return second(s.LastVirtualKeyChange(c, suite.Issuer)) },
		"PutVirtualKey":        func() error { _, _, err := s.PutVirtualKey(c, f.VirtualKey("z")); return err },
		"DeleteVirtualKey":     func() error { return second(s.DeleteVirtualKey(c, f.VirtualKey("alice"))) },
	}
}

func second[T any](_ T, err error) error { return err }

func list[T any](_ []T, _ string, err error) error { return err }

func (f *fixture) claims(c storage.CodeClaim, want storage.Verdict) error {
	res, err := f.Store.ClaimCode(suite.Ctx(), c)
	return suite.Wants(want)(res.Verdict, err)
}

func (f *fixture) rotates(r storage.Rotation, want storage.Verdict) error {
	res, err := f.Store.RotateRefreshToken(suite.Ctx(), r)
	return suite.Wants(want)(res.Verdict, err)
}
