package main

import (
	"context"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// groupStorage adds to the example's storage what companies have: groups, and
// people who leave.
type groupStorage struct {
	*storage.Storage
	control *control
}

// SetUserinfoFromToken says of a person what the access token is good for.
func (s *groupStorage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	s.control.count("userinfo")
	if groups := s.control.groups(subject); groups != nil {
		info.AppendClaims("groups", groups)
	}
	return nil
}

// TokenRequestByRefreshToken refuses the refresh tokens of people who have left.
func (s *groupStorage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	request, err := s.Storage.TokenRequestByRefreshToken(ctx, token)
	if err != nil || s.control.GetUserByID(request.GetSubject()) == nil {
		s.control.count("refusals")
		return nil, op.ErrInvalidRefreshToken
	}
	s.control.count("refreshes")
	return request, nil
}

// GetClientByClientID says that a client may ask for groups.
func (s *groupStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return groupClient{Client: c, control: s.control}, nil
}

type groupClient struct {
	op.Client
	control *control
}

func (groupClient) IsScopeAllowed(scope string) bool { return scope == "groups" }

func (c groupClient) PostLogoutRedirectURIs() []string { return c.control.postLogout() }
