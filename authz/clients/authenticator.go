package clients

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// presented is how a request says which client it comes from.
type presented struct {
	clientID  string
	method    string // none, client_secret_basic, client_secret_post or private_key_jwt
	secret    string
	assertion string
	// rawID and rawSecret are what clients meant that do not form-encode their
	// Basic credentials; the same as clientID and secret for any other.
	rawID, rawSecret string
	// header tells that the Authorization header was used, so that a refusal
	// must name the scheme (RFC 6749 section 5.2).
	header bool
}

// Authenticated is the client that made a request.
type Authenticated struct {
	*Client
	// Proved tells that it proved who it is. A public client only says so.
	Proved bool

	once *storage.OneTime // by what it proved that, until it is used up
}

// Authenticator finds out which client makes a request.
type Authenticator struct {
	Issuer string
	// TokenEndpoint is, besides the issuer, what an assertion may be made for.
	TokenEndpoint string
	Directory     *Directory
	Lookup        *tokens.Lookup
	Attempts      *ratelimit.Attempts
	Store         storage.AuthStore
	Now           func() time.Time
}

// Authenticate returns the client that makes a request with the form, if
// it proves so in exactly the way it registered (OAuth 2.1 section 2.4). A
// refusal is an *Error; any other error is the store's.
func (a *Authenticator) Authenticate(r *http.Request, form url.Values) (*Authenticated, error) {
	c, err := a.Begin(r, form)
	if err != nil {
		return nil, err
	}
	if err := a.End(r, c, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// Begin is Authenticate for a verb of the store that uses up what UsesUp returns.
// Nothing may be answered before End.
func (a *Authenticator) Begin(r *http.Request, form url.Values) (*Authenticated, error) {
	p, err := presentedClient(r.Header.Values("Authorization"), form)
	if err != nil {
		return nil, err
	}
	a.readAhead(r.Context(), p.clientID, form)
	if p.clientID == "" {
		if p.clientID, err = a.clientNamedBy(r.Context(), form); err != nil {
			return nil, err
		}
	}
	by := RequesterOf(r, a.Attempts)
	if p.needsFetch() {
		if by.Known, err = a.bringsOwn(r.Context(), p.clientID, form); err != nil {
			return nil, err
		}
	}
	c, err := a.Directory.Lookup(r.Context(), p.clientID, by)
	if raw := a.Directory.preregistered[p.rawID]; err != nil && raw != nil { // only an operator gives such IDs
		c, err = raw, nil
	}
	if err != nil {
		return nil, p.refuse(err)
	}
	if by.Known && c.Origin == MetadataDocument {
		a.Directory.documents.source.use(c.ID)
	}
	if !c.authenticatesBy(p.method) {
		return nil, p.refuse(oauth.NewError("invalid_client", "The client is registered to authenticate in another way.").Because("other_auth_method"))
	}
	if p.method == oauth.AuthNone {
		return &Authenticated{Client: c}, nil
	}
	once, err := a.verifyClient(r.Context(), c, p, by)
	if err != nil {
		return nil, p.refuse(a.count(r, c, err))
	}
	return &Authenticated{Client: c, Proved: true, once: once}, nil
}

// count counts failures of a client to prove who it is. A right proof passes
// whatever was sent before.
func (a *Authenticator) count(r *http.Request, c *Client, err error) error {
	if oauth.AsError(err).Code != "invalid_client" {
		return err
	}
	if !a.Attempts.AllowWrongClient(r, c.ID) {
		return ratelimit.ErrTooManyAttempts
	}
	return err
}

// needsFetch reports whether to know the client may take a document that it
// keeps elsewhere: about itself, or its keys.
func (p *presented) needsFetch() bool {
	return isDocumentURL(p.clientID) || p.method == oauth.AuthPrivateKeyJWT
}

// authenticatesBy reports whether the client may authenticate by the method:
// the one it registered. One that registered itself without any was given a
// secret it did not ask for (RFC 7591 section 2), which many of those do not
// send.
func (c *Client) authenticatesBy(method string) bool {
	registered := c.Metadata.TokenEndpointAuthMethod
	if registered != oauth.AuthSecretEither {
		return method == registered
	}
	return method == oauth.AuthSecretBasic || method == oauth.AuthSecretPost || method == oauth.AuthNone && c.Origin == Registered
}

// ErrUnproved is the answer to a client that proved who it is when it got a
// refresh token, and now does not: whoever stole the token lacks the secret.
var ErrUnproved = &oauth.Error{
	Status: http.StatusUnauthorized, Code: "invalid_client", Reason: "unproved",
	Description: "The client must authenticate as it did when it got this token.",
}

// verifyClient is the one place where a proof is checked. It returns what is to be
// used up, if anything.
func (a *Authenticator) verifyClient(ctx context.Context, c *Client, p presented, by Requester) (*storage.OneTime, error) {
	if p.method == oauth.AuthPrivateKeyJWT {
		return a.verifyAssertion(ctx, c, p.assertion, by)
	}
	refused := oauth.NewError("invalid_client", "The client could not be authenticated.").Because("wrong_client_secret")
	if c.SecretHash == nil {
		return nil, refused
	}
	right, rawRight := storage.HashOf(p.secret).Equal(*c.SecretHash), storage.HashOf(p.rawSecret).Equal(*c.SecretHash)
	if !right && !rawRight {
		return nil, refused
	}
	return nil, nil
}

// refuse turns the refusal of a client into the answer of a protected
// endpoint: 401, with a challenge if the client used the header.
func (p *presented) refuse(err error) error {
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != "invalid_client" {
		return err
	}
	refused := *e
	refused.Status = http.StatusUnauthorized
	if p.header {
		refused.Challenge = basicChallenge
	}
	return &refused
}

const basicChallenge = `Basic realm="OAuth client", charset="UTF-8"`

// presentedClient reads which client a request claims to come from, and by
// which of the methods. More than one is an error (RFC 6749 section 2.3).
func presentedClient(authorization []string, form url.Values) (presented, error) {
	p := presented{clientID: form.Get("client_id"), method: oauth.AuthNone, header: len(authorization) > 0}
	hasSecret := form.Has("client_secret")
	hasAssertion := form.Has("client_assertion") || form.Has("client_assertion_type")
	if p.header && (hasSecret || hasAssertion) || hasSecret && hasAssertion {
		return p, oauth.NewError("invalid_request", "The request authenticates the client in more than one way.").Because("two_auth_methods")
	}
	var err error
	switch {
	case p.header:
		err = p.readBasic(authorization, p.clientID)
	case hasSecret:
		p.method, p.secret = oauth.AuthSecretPost, form.Get("client_secret")
		p.rawSecret = p.secret
	case hasAssertion:
		err = p.readAssertion(form)
	}
	if err != nil {
		return p, err
	}
	if p.clientID == "" && p.method != oauth.AuthNone {
		return p, p.refuse(errNoClientID)
	}
	return p, nil
}

// readBasic reads HTTP Basic credentials, both halves form-encoded (RFC 6749
// section 2.3.1), or as they are: many clients do not encode them, which shows
// only where a plus or a percent sign is in them. Without a secret they only
// name the client: some public clients do that.
func (p *presented) readBasic(authorization []string, formID string) error {
	malformed := p.refuse(oauth.NewError("invalid_client", "The Authorization header is malformed.").Because("malformed_basic"))
	if len(authorization) != 1 {
		return malformed
	}
	scheme, encoded, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return p.refuse(oauth.NewError("invalid_client", "The Authorization header must use Basic.").Because("not_basic"))
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return malformed
	}
	id, secret, ok := strings.Cut(string(plain), ":")
	if !ok || id == "" {
		return malformed
	}
	p.rawID, p.rawSecret = id, secret
	p.clientID, p.secret = formDecoded(id), formDecoded(secret)
	switch formID {
	case "", p.clientID:
	case p.rawID:
		p.clientID = p.rawID
	default:
		return oauth.NewError("invalid_request", "The request names two clients.").Because("two_clients")
	}
	if secret != "" {
		p.method = oauth.AuthSecretBasic
	}
	return nil
}

// formDecoded returns what the text encodes, or the text if it encodes nothing.
func formDecoded(text string) string {
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}
