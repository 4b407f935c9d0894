package storage

import (
	"errors"
	"slices"
	"time"
)

// Grant is what a person approved for a client. Its tokens form one family:
// revoking the grant revokes them all.
type Grant struct {
	ID       string
	Issuer   string
	ClientID string
	Identity Identity
	Scope    []string
	// Resources are the protected resources (RFC 8707) the person approved.
	Resources []string
	// ResourcesRequested tells that the client named the resources. Such a
	// client must name one of several again for each token, while for one that
	// named none a token is good for all of them.
	ResourcesRequested bool
	// Chosen is what the person lets the client use of a resource, where that is not
	// all of it: at most one Choice for each of the Resources, in their order.
	Chosen []Choice
	// RedirectURI is the one the grant was made through.
	RedirectURI string
	// ClientName is what the consent page showed.
	ClientName string
	CreatedAt  time.Time
	// ExpiresAt is when the grant ends if nothing renews it; rotation moves it
	// up to, never beyond, AbsoluteExpiresAt.
	ExpiresAt         time.Time
	AbsoluteExpiresAt time.Time
	LastUsedAt        time.Time // the last issue of a token
	// RevokedAt is zero while the grant is valid.
	RevokedAt time.Time
	// AccessTokens are the access tokens of the family, oldest first. Some may
	// have ended: they are forgotten when the next one is issued.
	AccessTokens []Hash
	// RefreshToken is the head of the family: the one that was not used yet. It
	// stays when the grant is revoked, to be recognised.
	RefreshToken *Hash
}

// Limit has an access token of the grant be no more than that allows.
func (g *Grant) Limit(t *AccessToken) {
	t.Chosen = g.ChosenOf(t.Audience)
	if t.ExpiresAt.After(g.AbsoluteExpiresAt) {
		t.ExpiresAt = g.AbsoluteExpiresAt
	}
}

// ChosenOf returns what is chosen of the resources.
func (g *Grant) ChosenOf(resources []string) (chosen []Choice) {
	for _, c := range g.Chosen {
		if slices.Contains(resources, c.Resource) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// Choice is which tools of a resource a person lets a client use. It is never
// changed once it is made.
type Choice struct {
	Resource string `json:"resource"`
	// Tools are those that may be used, and Without those that may not, by their
	// names, each in order.
	Tools   []string `json:"tools,omitempty"`
	Without []string `json:"without,omitempty"`
	// Others is which of all others may be used, such as those that the server offers
	// later.
	Others Others `json:"others"`
}

// Others are tools that a Choice does not name.
type Others string

// The tools that a Choice can mean by that.
const (
	NoOthers       Others = "none"
	ReadOnlyOthers Others = "read_only" // as far as the server says so
	AllOthers      Others = "all"
)

var errChosen = errors.New("storage: what a person chose must be of the resources of the grant, in order, named once, and bounded")

// MaxChosen is how many tools a grant can name, and MaxChosenLength how long their
// names can be.
const (
	MaxChosen       = 500
	MaxChosenLength = 128
)

// CheckChosen refuses what is no choice of these resources.
func CheckChosen(chosen []Choice, resources []string) error {
	named, at := 0, 0
	for _, c := range chosen {
		next := slices.Index(resources[at:], c.Resource)
		if next < 0 || c.Others != NoOthers && c.Others != ReadOnlyOthers && c.Others != AllOthers {
			return errChosen
		}
		at += next + 1
		for _, names := range [][]string{c.Tools, c.Without} {
			for i, name := range names {
				if name == "" || len(name) > MaxChosenLength || i > 0 && names[i-1] >= name {
					return errChosen
				}
			}
			named += len(names)
		}
	}
	if named > MaxChosen {
		return errChosen
	}
	return nil
}

// GrantChange is what a person changes of what they approved.
type GrantChange struct {
	ID      string
	Issuer  string
	Subject string
	// Chosen replaces what was.
	Chosen []Choice
	// EndsBy, unless zero, is when the grant ends at the latest. It never ends later
	// than it would have.
	EndsBy time.Time
	Now    time.Time
}

// Apply changes the grant, unless it is somebody else's (ErrNotFound) or what is chosen
// is no choice of its resources.
func (c *GrantChange) Apply(g *Grant) error {
	if g.Issuer != c.Issuer || g.Identity.Subject != c.Subject {
		return ErrNotFound
	}
	if err := CheckChosen(c.Chosen, g.Resources); err != nil {
		return err
	}
	g.Chosen = c.Chosen
	g.EndBy(c.EndsBy)
	return nil
}

// EndBy has the grant end at a time at the latest, unless that is zero.
func (g *Grant) EndBy(by time.Time) {
	if by.IsZero() {
		return
	}
	for _, end := range []*time.Time{&g.ExpiresAt, &g.AbsoluteExpiresAt} {
		if by.Before(*end) {
			*end = by
		}
	}
}

// Revocation lists what stopped working, or is good for something else, for caches to
// forget.
type Revocation struct {
	AccessTokens []Hash   `json:"access_tokens,omitempty"`
	GrantIDs     []string `json:"grant_ids,omitempty"`
}

// ServiceGrant is what a program gets for itself, in a token response of its own: a
// grant that no person approved, and its one access token. It has no code and never
// a refresh token.
type ServiceGrant struct {
	Grant  Grant
	Access AccessToken
	// Max is how many such grants of a subject there are; 0 sets no bound.
	Max int
	// UsesUp is that of a CodeClaim.
	UsesUp *OneTime
	Now    time.Time
}

var errServiceGrant = errors.New("storage: a service grant has one access token, of its own, and no refresh token")

// Check refuses a grant and a token that do not belong together.
func (g ServiceGrant) Check() error {
	if g.Access.GrantID != g.Grant.ID || g.Access.Issuer != g.Grant.Issuer || g.Access.ClientID != g.Grant.ClientID ||
		!g.Access.Identity.Same(g.Grant.Identity) || g.Grant.RefreshToken != nil || len(g.Grant.AccessTokens)+len(g.Grant.Chosen)+len(g.Access.Chosen) > 0 {
		return errServiceGrant
	}
	return nil
}
