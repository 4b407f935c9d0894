package config

import "time"

// Lifetimes are those of what the authorization server issues.
type Lifetimes struct {
	// AccessTokenLifetime is how long an access token lives that can be
	// refreshed. Default: 1h.
	AccessTokenLifetime Duration `json:"access_token_lifetime,omitempty"`
	// RefreshTokenLifetime is how long a refresh token lives unused. Default: 30d.
	RefreshTokenLifetime Duration `json:"refresh_token_lifetime,omitempty"`
	// GrantLifetime ends a grant without refresh token, and with it its one
	// access token: that of a client which registered without the grant type
	// refresh_token. Default: 24h.
	GrantLifetime Duration `json:"grant_lifetime,omitempty"`
	// AbsoluteGrantLifetime ends any other grant, however active. Default: 90d.
	AbsoluteGrantLifetime Duration `json:"absolute_grant_lifetime,omitempty"`
	// FlowLifetime is how long a person may take to sign in. Default: 15m.
	FlowLifetime Duration `json:"flow_lifetime,omitempty"`
	// CodeLifetime is how long a client may take to fetch its tokens. Default: 5m.
	CodeLifetime Duration `json:"code_lifetime,omitempty"`
	// RefreshReuseGrace is how long a client that lost the response to a
	// refresh can ask again and get the same one; 0 takes any repetition for
	// theft. Default: 1m.
	RefreshReuseGrace *Duration `json:"refresh_reuse_grace,omitempty"`
}

const day = 24 * time.Hour

// DefaultLifetimes are used where the operator says nothing. The reuse grace
// outlasts the timeout of a client that tries again.
var DefaultLifetimes = Lifetimes{
	AccessTokenLifetime:   Duration(time.Hour),
	RefreshTokenLifetime:  Duration(30 * day),
	GrantLifetime:         Duration(day),
	AbsoluteGrantLifetime: Duration(90 * day),
	FlowLifetime:          Duration(15 * time.Minute),
	CodeLifetime:          Duration(5 * time.Minute),
	RefreshReuseGrace:     new(Duration(time.Minute)),
}

// maxLifetime bounds what is certainly a slip: with it, times stay within what
// all stores and clients can write.
const maxLifetime = 10 * 365 * day

func resolveLifetimes(s *Site, _ Resolver) error {
	l, defaults := &s.Lifetimes, &DefaultLifetimes
	configured := *l
	for _, f := range []struct {
		path         string
		value        *Duration
		defaultValue Duration
		most         time.Duration
	}{
		{"access_token_lifetime", &l.AccessTokenLifetime, defaults.AccessTokenLifetime, maxLifetime},
		{"refresh_token_lifetime", &l.RefreshTokenLifetime, defaults.RefreshTokenLifetime, maxLifetime},
		{"grant_lifetime", &l.GrantLifetime, defaults.GrantLifetime, maxLifetime},
		{"absolute_grant_lifetime", &l.AbsoluteGrantLifetime, defaults.AbsoluteGrantLifetime, maxLifetime},
		{"flow_lifetime", &l.FlowLifetime, defaults.FlowLifetime, day},
		{"code_lifetime", &l.CodeLifetime, defaults.CodeLifetime, time.Hour},
	} {
		if err := resolveDuration(f.path, f.value, f.defaultValue, time.Second, f.most); err != nil {
			return err
		}
	}
	if err := checkRefreshLifetime(configured, *l); err != nil {
		return err
	}
	if l.RefreshReuseGrace == nil {
		l.RefreshReuseGrace = defaults.RefreshReuseGrace
	}
	if grace := time.Duration(*l.RefreshReuseGrace); grace < 0 || grace > time.Hour {
		return Errorf("refresh_reuse_grace", "must be between 0 and 1h")
	}
	return nil
}

// resolveDuration checks a duration that cannot be zero, and fills it in.
func resolveDuration(path string, value *Duration, defaultValue Duration, least, most time.Duration) error {
	switch d := time.Duration(*value); {
	case d == 0:
		*value = defaultValue
	case d < least:
		return Errorf(path, "%s", TooShort(least))
	case d > most:
		return Errorf(path, "must be at most %s", days(most))
	}
	return nil
}

// checkRefreshLifetime refuses a refresh token that is of no use, because it
// ends before the access token that it is to renew.
func checkRefreshLifetime(configured, resolved Lifetimes) error {
	if resolved.RefreshTokenLifetime >= resolved.AccessTokenLifetime {
		return nil
	}
	if configured.RefreshTokenLifetime != 0 {
		return Errorf("refresh_token_lifetime", "must not be shorter than access_token_lifetime, which is %s", days(time.Duration(resolved.AccessTokenLifetime)))
	}
	return Errorf("access_token_lifetime", "must not be longer than refresh_token_lifetime, which is %s", days(time.Duration(resolved.RefreshTokenLifetime)))
}
